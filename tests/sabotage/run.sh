#!/usr/bin/env bash
# run.sh [PATCH...] - `make sabotage`: does a test notice when a guard is gone? Each *.patch beside this script takes one
# guard out of the source. Its header says which, and what must then fail:
#
#   # guard: the marker is checked before a client is deleted
#   # test: p4_no_foreign_object::client_without_marker        a promise test (tests/promises)
#   # unit: plan::tests::foreign_client_is_kept                or a unit test, instead
#
# The tree as it is now, uncommitted changes included, is copied to target/sabotage/tree and built into the same target
# directory, so that dependencies are not built again. First all the named tests must pass there without any patch; then
# for each patch its test, and only that, must fail. A patch that does not apply or build, or a test that does not end,
# proves nothing. Last line: N guards removed, N caught. Without PATCH: all.
#
# Runs on the control plane of $KUBECONFIG: tests/controlplane/run.sh tests/sabotage/run.sh
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/../dev/lib.sh"
export CARGO_TARGET_DIR=$target
tree=$target/sabotage/tree log=$target/sabotage/log
features=(--workspace --features c1-operator/fault-points)
shopt -s nullglob
patches=("$root"/tests/sabotage/*.patch)
(($# == 0)) || mapfile -t patches < <(readlink -f -- "$@")
((${#patches[@]} > 0)) || die "no patches: nothing was tried"

header() { sed -n "/^diff \|^--- /q; s/^# $2: *\([^ ]*.*\)/\1/p" "$1" | head -n1; } # PATCH KEY
kind() { [[ -n $(header "$1" unit) ]] && echo unit || echo test; }
for patch in "${patches[@]}"; do
  [[ -n $(header "$patch" guard) ]] || die "$patch: no line \"# guard: …\""
  [[ -n $(header "$patch" unit)$(header "$patch" test) ]] || die "$patch: no line \"# test: …\" or \"# unit: …\""
done

trap 'cd "$root" && drop_tree "$tree"' EXIT

say "copying the tree"
copy_tree "$tree"
mkdir -p "$log"
cd "$tree"

build() { # KIND
  case $1 in
    test) cargo build "${features[@]}" --bin c1-operator --bin c1-simulator && cargo test "${features[@]}" --no-run --test promises ;;
    unit) cargo test "${features[@]}" --no-run --lib ;;
  esac
}
run() { # KIND NAMES...
  local kind=$1; shift
  case $kind in
    test) timeout -k 10 600 cargo test "${features[@]}" --test promises -- --test-threads=1 --exact "$@" ;;
    unit) timeout -k 10 600 cargo test "${features[@]}" --lib -- --exact "$@" ;;
  esac
}

whole=""
for kind in test unit; do
  mapfile -t names < <(for patch in "${patches[@]}"; do header "$patch" "$kind"; done | sort -u)
  ((${#names[@]} > 0)) || continue
  say "without a patch: ${#names[@]} tests of kind $kind must pass"
  { build "$kind" && run "$kind" "${names[@]}"; } >"$log/unpatched-$kind.log" 2>&1 || { tail -n 40 "$log/unpatched-$kind.log" >&2; die "they do not pass; log: $log/unpatched-$kind.log"; }
  for name in "${names[@]}"; do
    grep -qxF -- "test $name ... ok" "$log/unpatched-$kind.log" || die "there is no $kind called $name; log: $log/unpatched-$kind.log"
  done
  [[ $kind == unit ]] || whole=$(sha256sum <"$bin/c1-operator")
done

removed=0 caught=0
for patch in "${patches[@]}"; do
  kind=$(kind "$patch") name=$(header "$patch" "$kind") out=$log/$(basename "$patch" .patch).log
  removed=$((removed + 1))
  verdict() { printf '%-9s %s: %s (%s)\n' "$1" "$(basename "$patch")" "$(header "$patch" guard)" "$2"; }
  git_apply "$patch" 2>"$out" || { verdict ERROR "does not apply; $out"; continue; }
  if ! build "$kind" >"$out" 2>&1; then
    verdict ERROR "does not build; $out"
  elif [[ $kind == test && $(sha256sum <"$bin/c1-operator") == "$whole" ]]; then
    verdict ERROR "changes nothing in the binary; $out"
  else
    rc=0; run "$kind" "$name" >>"$out" 2>&1 || rc=$?
    if ((rc == 0)); then
      verdict MISSED "$name passed; $out"
    elif grep -qxF -- "test $name ... FAILED" "$out"; then
      caught=$((caught + 1)); verdict caught "$name"
    else
      verdict ERROR "$name did not come to an end; $out"
    fi
  fi
  git_apply -R "$patch"
done
echo "$removed guards removed, $caught caught"
((removed == caught))
