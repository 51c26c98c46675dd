#!/usr/bin/env bash
# down.sh - `make down`: take down what up.sh started, and nothing else. The logs stay in target/dev/log until the next up.sh.
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
[[ -d $dev ]] || exit 0
for name in operator simulator; do
  if pid=$(alive "$dev/$name.process"); then
    say "$name"
    kill -TERM "$pid"
    gone() { ! alive "$dev/$name.process"; }
    # the operator first ends what it is issuing
    await 20 "$name ends" gone || { say "$name: KILL"; kill -KILL "$pid"; }
  fi
  rm -f "$dev/$name.process"
done
if [[ -d $dev/controlplane/pids ]]; then
  say "control plane"
  "$controlplane/down.sh" "$dev/controlplane" --purge
fi
rm -rf -- "${dev:?}"/{env,bin,simulator,simulator.json,operator.kubeconfig,values.yaml,rendered.yaml,deployment.json}
