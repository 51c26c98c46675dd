#!/usr/bin/env bash
# build.sh OUT - build the tools of this module (helm) into OUT, when they are missing or were built from another go.sum.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
[[ $# -eq 1 ]] || { sed -n '2s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1"; out=$(cd "$1" && pwd)
# shellcheck source=tests/controlplane/stale.sh
. "$here/../stale.sh"
exec 8>"$out/.lock"; flock 8
if stale "$out/helm" "$here"/{go.mod,go.sum}; then
  v=$(sed -n 's|.*helm.sh/helm/v4 \(v[^ ]*\).*|\1|p' "$here/go.mod")
  echo "build.sh: Helm $v from its Go module: about two minutes when nothing is cached" >&2
  (cd "$here" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$v" \
    -o "$out/helm.new" helm.sh/helm/v4/cmd/helm)
  mv "$out/helm.new" "$out/helm"
  fresh "$out/helm" "$here"/{go.mod,go.sum}
fi
