# shellcheck shell=bash
# lib.sh - sourced by the scripts of tests/dev: where things are, and waiting with a deadline.
# shellcheck source=tests/controlplane/lib.sh
. "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../controlplane/lib.sh"
# shellcheck disable=SC2034 # for those who source this
{
  here=$root/tests/dev
  chart=$root/charts/c1-operator
  triple=${CARGO_BUILD_TARGET:-$(sed -n '/^\[build\]/,/^\[/s/^target *= *"\(.*\)"/\1/p' "$root/.cargo/config.toml")}
  bin=$target/$triple/debug
  dev=$target/dev
  namespace=c1-system # the operator's
}

# A tool that a step cannot do without: its absence fails in CI, and is said loudly elsewhere.
needs() { # TOOL WHAT-IS-SKIPPED
  command -v "$1" >/dev/null && return
  [[ ${CI:-} != true ]] || die "$1 is not installed, and CI skips nothing"
  say "SKIPPED: $2: $1 is not installed"
  return 1
}

# Runs COMMAND until it succeeds. After SECONDS, or when COMMAND ends with 9 (hopeless), says what was waited for and what
# the last answer was, and fails.
await() { # SECONDS WHAT COMMAND...
  local deadline=$((SECONDS + $1)) what=$2 out rc; shift 2
  while true; do
    rc=0; out=$("$@" 2>&1) || rc=$?
    ((rc != 0)) || return 0
    if ((rc == 9 || SECONDS >= deadline)); then
      say "waited in vain: $what${out:+; last answer: ${out:0:600}}"
      return 1
    fi
    sleep 0.2
  done
}

# Copies the tree as it is now, uncommitted changes included, to a directory, to be changed there.
# -m: new times, since cargo would take an older file for unchanged, whatever was in it at the last run.
copy_tree() { # DIRECTORY
  rm -rf -- "$1"
  mkdir -p "$1"
  (cd "$root" && git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do [[ ! -e $f ]] || printf '%s\0' "$f"; done |
    tar -c --null -T -) | tar -xm -C "$1"
  # Cargo reads the configuration of the directories above as well, and says each flag twice then: everything would be built anew.
  [[ $1 != "$root"/* ]] || rm -rf -- "$1/.cargo"
}

# Forgets the copy, and what was built in it: programs with a guard removed. Cargo tells the two trees apart by nothing but the
# sources' times, and would go on with such a library here; without the copy's sources it builds anew.
drop_tree() { # DIRECTORY
  rm -rf -- "$1"
  rm -f -- "$bin/c1-operator" "$bin/c1-simulator"
}

# Applies a patch in a copy of the tree, which is in no repository.
git_apply() { GIT_CEILING_DIRECTORIES=$(dirname "$PWD") git apply "$@"; }
