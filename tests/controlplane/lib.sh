# shellcheck shell=bash
# lib.sh - sourced by run.sh and tests/dev: the programs of the control plane, and how it is started for this project.
controlplane=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
root=$(cd "$controlplane/../.." && pwd)
target=$(cd "$root" && mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# Sets and exports CP_BIN, KUBECTL, HELM, STATUS_TOOL. KUBEBUILDER_ASSETS (the convention of setup-envtest) wins; otherwise
# everything is built once, under target/.
programs() {
  "$controlplane/tools/build.sh" "$target/tools"
  "$root/tests/status/build.sh" "$target/tools"
  export HELM=$target/tools/helm STATUS_TOOL=$target/tools/status
  if [[ -z ${KUBEBUILDER_ASSETS:-} ]]; then
    "$controlplane/build.sh" "$target/controlplane"
    export CP_BIN=$target/controlplane/bin KUBECTL=$target/controlplane/bin/kubectl
    return
  fi
  export CP_BIN=$KUBEBUILDER_ASSETS
  for n in etcd kube-apiserver; do [[ -x $CP_BIN/$n ]] || die "KUBEBUILDER_ASSETS has no $n"; done
  KUBECTL=$CP_BIN/kubectl; [[ -x $KUBECTL ]] || KUBECTL=$(command -v kubectl) || die "no kubectl in KUBEBUILDER_ASSETS or on PATH"
  export KUBECTL
  if [[ ! -x $CP_BIN/kube-controller-manager ]]; then
    [[ ${CI:-} != true ]] || die "KUBEBUILDER_ASSETS has no kube-controller-manager (setup-envtest brings none): unset it, or add one"
    say "SKIPPED: kube-controller-manager, which KUBEBUILDER_ASSETS lacks: no garbage collection, and namespaces never end"
    export CP_NO_KCM=1
  fi
}

port_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Prints the first of N free ports in a row, below the range from which the kernel hands out ports by itself.
free_ports() { # N
  local try base p
  for ((try = 0; try < 200; try++)); do
    base=$((20000 + RANDOM % 1200 * 10))
    for ((p = base; p < base + $1; p++)); do port_free "$p" || continue 2; done
    echo "$base"; return
  done
  die "no $1 free ports in a row on loopback"
}

# Starts a control plane in DIR, with an audit log at DIR/log/audit.log; exports KUBECONFIG, CP_DIR and KUBECACHEDIR
# (kubectl keeps what it learnt of an API server by host and port, and the port can be another's tomorrow).
start_controlplane() { # DIR
  local dir=$1
  mkdir -p "$dir/log"
  export CP_DIR=$dir KUBECACHEDIR=$dir/kubectl-cache
  # 4 GiB before a rotation: tests read this one file
  KUBECONFIG=$(
    ETCD_IN_MEMORY=1 CP_TIMEOUT=${CP_TIMEOUT:-120} \
      APISERVER_ARGS="--audit-policy-file=$controlplane/audit-policy.yaml --audit-log-path=$dir/log/audit.log --audit-log-maxsize=4096 ${APISERVER_ARGS:-}" \
      "$controlplane/up.sh" "$(free_ports 5)" "$dir"
  )
  export KUBECONFIG
}

# Identity of a process that outlives the reuse of its number: "PID START-TIME".
process() { # PID
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }                # the fields after the program's name, which may hold blanks
  set -- "$1" $stat
  [[ $2 != Z ]] || return 1        # ended, and not yet waited for
  echo "$1 ${21}"
}
# Is the process whose identity FILE holds still there? Prints its pid.
alive() { # FILE
  local id
  id=$(cat "$1" 2>/dev/null) && [[ -n $id && $(process "${id% *}") == "$id" ]] && echo "${id% *}"
}
