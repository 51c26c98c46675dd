#!/usr/bin/env bash
# selftest.sh - `make torture-selftest`: would torture find it, were something wrong? One guard is taken out of a copy of the
# tree (tests/sabotage/strays.patch: of a create that took effect twice, or of an attempt that was given up, the client is left), and
# within 20 runs a violation must be found. Before that a run without the patch must find none.
#
# Runs on the control plane of $KUBECONFIG: tests/controlplane/run.sh tests/torture/selftest.sh
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/../dev/lib.sh"
patch=$root/tests/sabotage/strays.patch
tree=$target/sabotage/tree log=$target/torture/selftest
export CARGO_TARGET_DIR=$target
features=(--workspace --features c1-operator/fault-points)

trap 'cd "$root" && drop_tree "$tree"' EXIT

copy_tree "$tree"
mkdir -p "$log"
cd "$tree"
run() { # LOG ARGUMENTS...
  local out=$log/$1 rc=0; shift
  cargo build "${features[@]}" --bins >"$out" 2>&1 || { tail -n 40 "$out" >&2; die "it does not build"; }
  "$bin/torture" --unrecorded --objects 60 --seconds 20 "$@" >>"$out" 2>&1 || rc=$?
  last=$(tail -n 1 "$out")
  [[ $last =~ ^[1-9][0-9]*\ histories,\ [0-9]+\ violations$ ]] || { tail -n 40 "$out" >&2; die "a run came to no end"; }
  return "$rc"
}
run whole --runs 1 || die "violations, and nothing was taken out; log: $log/whole"
say "nothing taken out: $last"
git_apply "$patch"
! run without-guard --runs 20 --until-violation || die "20 runs found nothing wrong; log: $log/without-guard"
grep -m 3 -A 3 'violations\|^  after' "$log/without-guard" >&2 || true
echo "without $(sed -n 's/^# guard: //p' "$patch"): $last, after $(grep -c '^seed ' "$log/without-guard") runs"
