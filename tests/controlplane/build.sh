#!/usr/bin/env bash
# build.sh OUT [--node] - build the control plane into OUT/bin; with --node what cluster-up.sh needs too, into OUT/node/bin.
# Builds only what is missing or was built from other sources (go.sum, main.go). Two at once wait for each other.
set -euo pipefail
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
[[ $# -ge 1 ]] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
mkdir -p "$1/bin"; out=$(cd "$1" && pwd)
# shellcheck source=tests/controlplane/stale.sh
. "$here/stale.sh"
exec 8>"$out/.lock"; flock 8
v=$(sed -n 's/^\tk8s.io\/kubernetes v//p' "$here/go.mod")
x=k8s.io/component-base/version
if stale "$out/bin/cp" "$here"/{go.mod,go.sum,main.go}; then
  echo "build.sh: Kubernetes $v from its Go modules: about six minutes when nothing is cached" >&2
  (cd "$here" && CGO_ENABLED=0 go build -trimpath -o "$out/bin/cp.new" \
    -ldflags "-s -w -X $x.gitVersion=v$v -X $x.gitMajor=${v%%.*} -X $x.gitMinor=$(cut -d. -f2 <<<"$v")" .)
  mv "$out/bin/cp.new" "$out/bin/cp"
  fresh "$out/bin/cp" "$here"/{go.mod,go.sum,main.go}
fi
for n in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubectl; do ln -sf cp "$out/bin/$n"; done
[[ ${2:-} == --node ]] || exit 0
mkdir -p "$out/node/bin"
if stale "$out/node/bin/pause.tar" "$here"/node/{go.mod,go.sum,pause/main.go}; then
  echo "build.sh: containerd and CNI plugins: about a minute" >&2
  (cd "$here/node" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$out/node/bin/" tool && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o "$out/node/bin/pause" ./pause)
  printf 'FROM scratch\nCOPY pause /pause\nUSER 65535:65535\nENTRYPOINT ["/pause"]\n' >"$out/node/bin/Dockerfile.pause"
  buildah bud --isolation chroot --storage-driver vfs -q -f "$out/node/bin/Dockerfile.pause" -t localhost/pause:1 "$out/node/bin" >/dev/null
  rm -f "$out/node/bin/pause.tar.new"
  buildah push --storage-driver vfs -q localhost/pause:1 "oci-archive:$out/node/bin/pause.tar.new:localhost/pause:1"
  mv "$out/node/bin/pause.tar.new" "$out/node/bin/pause.tar"
  fresh "$out/node/bin/pause.tar" "$here"/node/{go.mod,go.sum,pause/main.go}
fi
