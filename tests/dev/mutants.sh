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
mkdir -p "$out"
export CARGO_TARGET_DIR=$out/build CARGO_PROFILE_DEV_DEBUG=0 PATH=$target/tools/bin:$PATH

[[ $(cargo mutants --version 2>/dev/null) == *" $version" ]] ||
  env -u CARGO_PROFILE_DEV_DEBUG CARGO_TARGET_DIR="$target/tools/build" \
    cargo install cargo-mutants --version "$version" --locked --root "$target/tools"

# Changes the files, and runs the tests, that these arguments of cargo-mutants choose.
mutate() { # NAME CARGO-MUTANTS-ARGS...
  local name=$1 rc=0; shift
  rm -rf -- "${out:?}/${name:?}"
  cargo mutants --package c1-operator --features c1-operator/fault-points --output "$out/$name" \
    --no-times --timeout 60 --no-shuffle --annotations none "$@" || rc=$?
  # 2: some were missed. 3: some did not end, which the test would not have passed either.
  ((rc == 0 || rc == 2 || rc == 3)) || die "cargo mutants ended with $rc"
}

# Everything that was missed, sorted, without the line, which moves; the same change in two places of a function stands there
# twice.
missed() { # NAME...
  local name
  for name; do cat "$out/$name/mutants.out/missed.txt"; done | sed -E 's/^([^:]+):[0-9]+:[0-9]+: /\1: /' | LC_ALL=C sort
}

count() { # LIST NAME...
  local list=$1 name; shift
  for name; do cat "$out/$name/mutants.out/$list.txt"; done | wc -l
}

# The plan and most of the client answer to the unit tests.
by_unit() { # NAME FILE...
  local name=$1; shift
  # As an argument of cargo, --lib also keeps the binary from being built for each; without the shell it is a third of the work.
  mutate "$name" "${@/#/--file=}" "${wire[@]/#/--exclude=}" --no-default-features --cargo-arg=--lib
}

# What talks to C1 answers to the suite that does so. cargo-mutants would look for it in the package that it changes when it tries
# the unchanged code: that is done here.
by_wire() { # NAME FILE...
  local name=$1; shift
  cargo build -p c1-simulator
  cargo test --package suites --features c1-operator/fault-points --test c1
  # As an argument of cargo: else every suite would be built for each.
  mutate "$name" "${@/#/--file=}" --baseline skip --test-package suites --cargo-arg=--test=c1
}

if (($# > 0)); then
  units=() talks=() names=()
  for file; do
    [[ -f $file ]] || die "there is no $file"
    if [[ " ${wire[*]} " == *" $file "* ]]; then talks+=("$file"); else units+=("$file"); fi
  done
  ((${#units[@]} == 0)) || { by_unit some-unit "${units[@]}"; names+=(some-unit); }
  ((${#talks[@]} == 0)) || { by_wire some-wire "${talks[@]}"; names+=(some-wire); }
  missed "${names[@]}"
  exit
fi

[[ -f tests/mutants.allow ]] || die "there is no tests/mutants.allow"
by_unit unit 'src/plan/*.rs' 'src/c1/*.rs'
by_wire wire "${wire[@]}"

allowed=$(sed '/^#/d; /^$/d' tests/mutants.allow | LC_ALL=C sort)
survived=$(missed unit wire)
diff <(echo "$allowed") <(echo "$survived") >"$out/difference" ||
  { sed -n 's/^</no longer survives:/p; s/^>/survives:/p' "$out/difference"; die "the survivors are not those of tests/mutants.allow"; }
echo "$(count caught unit wire) mutants caught, $(count timeout unit wire) without end, $(count unviable unit wire) that do not build, $(echo "$survived" | grep -c .) survive, as tests/mutants.allow says"
