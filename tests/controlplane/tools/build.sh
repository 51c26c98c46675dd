#!/usr/bin/env bash
# build.sh OUT - build the tools of these modules (helm, helm-docs) into OUT, when they are missing or were built from another go.sum.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
[[ $# -eq 1 ]] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"; out=$(cd "$1" && pwd)
# shellcheck source=tests/controlplane/stale.sh
. "$here/../stale.sh"
exec 8>"$out/.lock"; flock 8
tool() { # PROGRAM DIRECTORY MODULE VARIABLE-OF-THE-VERSION HOW-LONG
  local v
  stale "$out/$1" "$2"/{go.mod,go.sum} || return 0
  v=$(sed -n "s|.*$3 \(v[^ ]*\).*|\1|p" "$2/go.mod")
  echo "build.sh: $1 $v from its Go module: about $5 when nothing is cached" >&2
  (cd "$2" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X $4=$v" -o "$out/$1.new" "$3/cmd/$1")
  mv "$out/$1.new" "$out/$1"
  fresh "$out/$1" "$2"/{go.mod,go.sum}
}
tool helm "$here" helm.sh/helm/v4 helm.sh/helm/v4/internal/version.version "two minutes"
tool helm-docs "$here/docs" github.com/norwoodj/helm-docs main.version "a minute"
