# shellcheck shell=bash
# stale.sh - sourced: was a file built from these sources? By content, not by time: a fresh clone over a kept target/
# builds nothing again. What the file was built from stands beside it in FILE.from.
stale() { # FILE SOURCES...
  [[ ! -x $1 && ! -s $1 ]] || [[ $(cat "$1.from" 2>/dev/null) != "$(cat "${@:2}" | sha256sum)" ]]
}
fresh() { # FILE SOURCES...
  cat "${@:2}" | sha256sum >"$1.from"
}
