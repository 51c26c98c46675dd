#!/usr/bin/env bash
# build.sh OUT - test this module's program and build it as OUT/status, when it is missing or was built from other sources.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
[[ $# -eq 1 ]] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"; out=$(cd "$1" && pwd)
# shellcheck source=tests/controlplane/stale.sh
. "$here/../controlplane/stale.sh"
sources=("$here"/go.{mod,sum} "$here"/*.go "$here"/../../docs/gitops/*.lua)
exec 8>"$out/.status.lock"; flock 8
if stale "$out/status" "${sources[@]}"; then
  echo "build.sh: kstatus and Argo CD's Lua from their Go modules: about a minute when nothing is cached" >&2
  (cd "$here" && go vet . && go test . >&2 && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$out/status.new" .)
  mv "$out/status.new" "$out/status"
  fresh "$out/status" "${sources[@]}"
fi
