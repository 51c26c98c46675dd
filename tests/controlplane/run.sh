#!/usr/bin/env bash
# run.sh COMMAND... - run COMMAND on a control plane of its own, which is taken down afterwards; ends as COMMAND ended.
#
# COMMAND finds KUBECONFIG (admin), KUBECTL, HELM, STATUS_TOOL (tests/status), and CP_DIR with pki/ and log/ (log/audit.log:
# every request, without bodies).
# With KUBECONFIG_TEST set, that cluster is used and none is started. COMMAND has KUBECONFIG_TEST set, so that a
# run.sh inside a run.sh shares the control plane of the outer one.
# When COMMAND fails the logs are kept in target/controlplane/failed.
set -euo pipefail
# shellcheck source=tests/controlplane/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
[[ $# -ge 1 ]] || { sed -n '2,/^set /{/^set /!p}' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
programs
if [[ -n ${KUBECONFIG_TEST:-} ]]; then
  export KUBECONFIG=$KUBECONFIG_TEST
  exec "$@"
fi

runs=$target/controlplane/run
mkdir -p "$runs"
for old in "$runs"/*/; do # left by a run that was killed
  if [[ ! -d $old ]] || alive "$old/owner" >/dev/null; then continue; fi
  say "taking down what a killed run left in $old"
  "$controlplane/down.sh" "$old" --purge || rm -rf -- "$old"
done
new=$(mktemp -d "$runs/.XXXXXX") # hidden until it says whose it is
process $$ >"$new/owner"
dir=$runs/${new##*/.}
mv "$new" "$dir"

child=
finish() {
  local rc=$?
  trap '' INT TERM
  if [[ -n $child ]]; then kill -TERM -- "-$child" 2>/dev/null && wait "$child" 2>/dev/null || true; fi
  if ((rc != 0)); then
    rm -rf "$target/controlplane/failed"
    mkdir -p "$target/controlplane/failed" && cp -r "$dir/log/." "$target/controlplane/failed/" 2>/dev/null || true
    say "exit code $rc; logs of the control plane: $target/controlplane/failed"
  fi
  if [[ -d $dir/pids ]]; then "$controlplane/down.sh" "$dir" --purge || true; else rm -rf -- "$dir"; fi
  exit $rc
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_controlplane "$dir"
export KUBECONFIG_TEST=$KUBECONFIG
# In the background, so that a signal is answered at once and not when COMMAND ends; in a process group of its own, so
# that what COMMAND started (cargo: the test) ends with it.
set -m
"$@" <&0 &
child=$!
set +m
rc=0; wait "$child" || rc=$?
child=
exit $rc
