#!/usr/bin/env bash
# mutants.sh [FILE...] - `make mutants`: is there a test for each thing that the protocol and the C1 client do? cargo-mutants
# changes the code in one place at a time; a test must fail. Those that no test notices must be exactly the lines of
# tests/mutants.allow, each under the reason why it is no loss.
#
# The plan and most of the C1 client answer to the unit tests; what talks to C1 answers to the suite that does so with the
# simulator. With FILEs (src/plan/decide.rs), only those, and what survives is printed.
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
cd "$root"
version=27.1.0
wire=(src/c1/connection.rs src/c1/session.rs)
out=$target/mutants
# A directory of its own: what is built here is wrong on purpose.
export CARGO_TARGET_DIR=$out/build CARGO_PROFILE_DEV_DEBUG=0 PATH=$target/tools/bin:$PATH

[[ $(cargo mutants --version 2>/dev/null) == *" $version" ]] ||
  env -u CARGO_PROFILE_DEV_DEBUG CARGO_TARGET_DIR="$target/tools/build" \
    cargo install cargo-mutants --version "$version" --locked --root "$target/tools"

# Changes the files that these arguments of cargo-mutants choose, and runs these tests of cargo test.
mutate() { # NAME CARGO-MUTANTS-ARGS... -- CARGO-TEST-ARGS...
  local name=$1 rc=0; shift
  rm -rf -- "$out/$name"
  cargo mutants --package c1-operator --features c1-operator/fault-points --output "$out/$name" --line-col=false \
    --no-times --timeout 20 --no-shuffle --annotations none "$@" || rc=$?
  # 2: some were missed. 3: some did not end, which the test would not have passed either.
  ((rc == 0 || rc == 2 || rc == 3)) || die "cargo mutants ended with $rc"
}

# Everything that was missed, sorted; the same change in two places of a function stands there twice.
missed() { # NAME...
  local name
  for name; do cat "$out/$name/mutants.out/missed.txt"; done | LC_ALL=C sort
}

count() { # LIST NAME...
  local list=$1 name; shift
  for name; do cat "$out/$name/mutants.out/$list.txt"; done | wc -l
}

if (($# > 0)); then
  mapfile -t files < <(printf -- '--file=%s\n' "$@")
  suite=(-- --lib)
  if [[ " ${wire[*]} " == *" $1 "* ]]; then
    suite=(--test-package suites -- --test c1)
    cargo build -p c1-simulator
  fi
  mutate some "${files[@]}" "${suite[@]}"
  missed some
  exit
fi

mapfile -t without < <(printf -- '--exclude=%s\n' "${wire[@]}")
mutate unit --file='src/plan/*.rs' --file='src/c1/*.rs' "${without[@]}" -- --lib
cargo build -p c1-simulator
mapfile -t only < <(printf -- '--file=%s\n' "${wire[@]}")
mutate wire "${only[@]}" --test-package suites -- --test c1

allowed=$(sed '/^#/d; /^$/d' tests/mutants.allow | LC_ALL=C sort)
survived=$(missed unit wire)
diff <(echo "$allowed") <(echo "$survived") >"$out/difference" ||
  { sed -n 's/^</no longer survives:/p; s/^>/survives:/p' "$out/difference"; die "the survivors are not those of tests/mutants.allow"; }
echo "$(count caught unit wire) mutants caught, $(count timeout unit wire) without end, $(count unviable unit wire) that do not build, $(echo "$survived" | grep -c .) survive, as tests/mutants.allow says"
