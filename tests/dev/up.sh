#!/usr/bin/env bash
# up.sh - `make up`: control plane, C1 simulator and operator in the background, on free ports, under target/dev.
#
# What a cluster gets, the control plane gets: the chart, rendered and applied. The operator runs as a process of this
# machine, with the arguments and environment of the rendered Deployment, as the chart's ServiceAccount, under its rules.
# target/dev/env is for `source`: KUBECONFIG, C1_URL, C1_CA, C1_ADMIN_URL, OPERATOR_METRICS_URL, OPERATOR_PID, and PATH
# with kubectl and helm. Logs are in target/dev/log. down.sh takes everything down.
#
# Environment: C1_LATENCY_MS=0    how long the simulator takes to answer
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
umask 077 # credentials, of the simulator and of the control plane
for program in c1-operator c1-simulator; do [[ -x $bin/$program ]] || die "no $bin/$program: make build"; done
if [[ -e $dev/env ]] && alive "$dev/operator.process" >/dev/null; then
  say "already up; source target/dev/env, or make down"
  exit 0
fi
"$here/down.sh"
programs
rm -rf -- "$dev/log"
mkdir -p "$dev/log" "$dev/bin"
ln -sf "$KUBECTL" "$dev/bin/kubectl"
ln -sf "$HELM" "$dev/bin/helm"
trap 'rc=$?; ((rc == 0)) || { say "failed; logs: target/dev/log"; tail -n 20 "$dev"/log/{simulator,operator}.* >&2 2>/dev/null || true; "$here/down.sh"; }; exit $rc' EXIT

# In a session of its own: neither the end of this shell nor ^C reaches it. Its identity is kept in NAME.process.
start() { # NAME OUT COMMAND...
  local name=$1 out=$2; shift 2
  setsid "$@" >"$out" 2>>"$dev/log/$name.log" </dev/null &
  process $! >"$dev/$name.process"
}
runs() { alive "$dev/$1.process" >/dev/null || { echo "$1 ended; log: target/dev/log/$1.log"; exit 9; }; }

say "control plane"
start_controlplane "$dev/controlplane"

say "simulator of a C1 tenant"
# Its name first, and the line on standard output when it listens; that line holds a credential.
start simulator "$dev/simulator.json" "$bin/c1-simulator" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --dir "$dev/simulator" \
  --latency-ms "${C1_LATENCY_MS:-0}"
simulator_listens() { runs simulator && [[ $(jq -r .url "$dev/simulator.json") == https://* ]]; }
await 20 "the simulator's line on standard output" simulator_listens
simulator() { jq -re ".$1" "$dev/simulator.json"; }
C1_URL=$(simulator url) C1_CA=$(simulator caFile) C1_ADMIN_URL=$(simulator adminUrl)

say "chart, issuer and its Secret"
listen=127.0.0.1:$(free_ports 1)
cat >"$dev/values.yaml" <<YAML
clusterName: dev
allowedHosts: ["$(simulator host)"]
listen: $listen
log: {format: text}
inventoryInterval: 10s
YAML
"$HELM" template c1-operator "$chart" --namespace $namespace -f "$dev/values.yaml" >"$dev/rendered.yaml"
"$KUBECTL" create namespace $namespace >/dev/null
apply() { "$KUBECTL" apply --server-side --field-manager=make-up -f "$@" >>"$dev/log/kubectl.log"; }
apply "$dev/rendered.yaml"
"$KUBECTL" wait --for=condition=Established --timeout=30s crd -l app.kubernetes.io/name=c1-operator >>"$dev/log/kubectl.log"
jq --arg ns $namespace '{apiVersion: "v1", kind: "Secret", metadata: {name: "c1-credentials", namespace: $ns},
  stringData: {clientId, clientSecret}}' "$dev/simulator.json" | apply -
# The example as it is, but for the tenant, which here is the simulator.
"$KUBECTL" create --dry-run=client -o json -f "$root/examples/issuer.yaml" |
  jq --arg url "$C1_URL" --rawfile ca "$C1_CA" 'del(.spec.tenantDomain) | .spec.url = $url | .spec.caBundle = ($ca | @base64)' | apply -

say "operator"
"$KUBECTL" -n $namespace get deployment c1-operator -o json >"$dev/deployment.json"
account=$(jq -re .spec.template.spec.serviceAccountName "$dev/deployment.json")
token=$("$KUBECTL" create token "$account" -n $namespace --duration=24h)
"$KUBECTL" config view --raw --minify -o json |
  jq --rawfile token <(printf %s "$token") '.users[0].user = {token: $token}' >"$dev/operator.kubeconfig"
# What the kubelet would make of the Deployment.
# shellcheck disable=SC2016 # the dollars are jq's
container='.spec.template.spec as $pod | .metadata.namespace as $namespace | $pod.containers[0]'
mapfile -d '' -t args < <(jq -j "$container"' | .args[] | . + "\u0000"' "$dev/deployment.json")
mapfile -d '' -t env < <(jq -j "$container"' | .env[] | "\(.name)=\(
    if has("value") then .value
    else {"metadata.namespace": $namespace, "metadata.name": "c1-operator", "spec.serviceAccountName": $pod.serviceAccountName}[.valueFrom.fieldRef.fieldPath // ""]
      // error("cannot stand in for the kubelet with \(.)") end)\u0000"' "$dev/deployment.json")
[[ ${args[0]:-} == run ]] || die "the Deployment's arguments do not start with run"
start operator "$dev/log/operator.out" env -i PATH="$PATH" KUBECONFIG="$dev/operator.kubeconfig" "${env[@]}" "$bin/c1-operator" "${args[@]}"
operator_ready() { runs operator && curl -sS --fail --max-time 2 --noproxy '*' "http://$listen/readyz"; }
await 30 "the operator's /readyz" operator_ready
"$KUBECTL" wait --for=condition=Ready --timeout=60s clusterclientissuer/default >>"$dev/log/kubectl.log" || {
  "$KUBECTL" get clusterclientissuer default -o json | jq .status >&2
  die "the issuer is not Ready"
}

{
  # shellcheck disable=SC2153
  for pair in "KUBECONFIG=$KUBECONFIG" "KUBECACHEDIR=$KUBECACHEDIR" "KUBECTL=$KUBECTL" "HELM=$HELM" "CP_DIR=$CP_DIR" \
    "C1_URL=$C1_URL" "C1_CA=$C1_CA" "C1_ADMIN_URL=$C1_ADMIN_URL" \
    "OPERATOR_METRICS_URL=http://$listen/metrics" "OPERATOR_PID=$(alive "$dev/operator.process")"; do
    printf 'export %s=%q\n' "${pair%%=*}" "${pair#*=}"
  done
  printf '[[ :$PATH: == *:%q:* ]] || export PATH=%q:$PATH\n' "$dev/bin" "$dev/bin"
} >"$dev/env.new"
mv "$dev/env.new" "$dev/env"
say "up: source target/dev/env"
