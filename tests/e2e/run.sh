#!/usr/bin/env bash
# run.sh - `make e2e`: the image and the chart on a real one-node cluster, from `helm install` to what is left after
# `helm uninstall`, with pods that log in at C1 (the simulator, on the node) by what they find in their environment.
#
# Needs root, and Debian's runc, buildah, iproute2 and iptables. One run at a time on a machine. The cluster is taken down
# at the end; what a failure left to look at is in target/e2e/failed.
# Environment: KEEP=1    leave the cluster up, for target/e2e/cluster/enter kubectl …; the next run takes it down
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/../dev/lib.sh"
e2e=$root/tests/e2e work=$target/e2e
cluster=$work/cluster logs=$work/log tenant=acme.conductor.one release=c1-operator
PATH=$PATH:/usr/sbin:/sbin

for tool in runc buildah ip iptables jq strip; do needs "$tool" "the end-to-end test" || exit 0; done
if ! unshare --net --mount true 2>/dev/null; then
  [[ ${CI:-} != true ]] || die "no right to make network namespaces (not root?), and CI skips nothing"
  say "SKIPPED: the end-to-end test: no right to make network namespaces (not root?)"
  exit 0
fi
[[ -x $bin/c1-simulator ]] || die "no $bin/c1-simulator: make build"

mkdir -p "$work"
! alive "$work/owner" >/dev/null || die "another run is under way: process $(alive "$work/owner")"
process $$ >"$work/owner"
down() {
  local pid
  ! pid=$(alive "$work/simulator.process") || kill "$pid"
  [[ ! -s $cluster/netns ]] || "$controlplane/cluster-down.sh" "$cluster" --purge
}
rm -rf -- "$work/failed"

# --- the two images, and what they run on
"$e2e/image.sh" operator
"$e2e/image.sh" consumer
"$controlplane/build.sh" "$target/controlplane" --node
"$controlplane/tools/build.sh" "$target/tools"
export CP_BIN=$target/controlplane/bin NODE_BIN=$target/controlplane/node/bin
version=$("$target/$triple/release/c1-operator" --version); version=${version##* }
umask 077 # from here on there are credentials

# --- the end
followers=()
finish() {
  local rc=$?
  trap '' INT TERM
  if ((rc != 0)) && [[ -x $cluster/enter ]]; then (set +e; keep_for_a_look); fi
  for pid in "${followers[@]}"; do [[ $'\n'$(jobs -pr)$'\n' != *$'\n'$pid$'\n'* ]] || kill "$pid"; done
  [[ -n ${KEEP:-} ]] || down
  rm -f "$work/owner"
  exit $rc
}
keep_for_a_look() {
  local pod failed=$work/failed kinds=deployments,replicasets,pods,leases,pclient,clusterclientissuer
  mkdir -p "$failed"
  cp -r "$logs" "$failed/log"
  cp "$cluster"/*.log "$failed/"
  kubectl api-resources >/dev/null # learns of the CRDs
  kubectl get events -A --sort-by=.lastTimestamp >"$failed/events"
  kubectl get $kinds -A -o wide >"$failed/objects"
  kubectl describe nodes,$kinds -A >"$failed/describe"
  kubectl logs -n $namespace -l app.kubernetes.io/instance=$release --prefix --tail=-1 >"$failed/operator.log"
  [[ -s $failed/operator.log ]] || cat "$logs"/operator.*.log >"$failed/operator.log" # no pods any more
  for pod in $(kubectl -n ci get pods -o name); do kubectl -n ci logs --timestamps "$pod" >"$failed/${pod##*/}.log"; done
  ledger | jq >"$failed/ledger"
  say "events:"; tail -n 20 "$failed/events" >&2
  say "objects:"; cat "$failed/objects" >&2
  say "the operator's last lines:"; tail -n 20 "$failed/operator.log" >&2
  say "failed; more in ${failed#"$root/"}"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- steps
began=$EPOCHREALTIME since=$EPOCHREALTIME checks=0
passed() { # WHAT
  local now=$EPOCHREALTIME
  checks=$((checks + 1))
  printf '%6.1f s  %s\n' "$(bc <<<"$now - $since")" "$1"
  since=$now
}
is() { [[ $2 == "$3" ]] || die "$1: expected $3, found ${2:-nothing}"; } # WHAT FOUND EXPECTED
enter() { "$cluster/enter" "$@"; }
kubectl() { enter kubectl "$@"; }
helm() { enter "$target/tools/helm" "$@"; }
wait_for() { kubectl -n "$1" wait --for="$2" --timeout=60s "${@:3}" >>"$logs/kubectl.log" || die "waited in vain for $2 of ${*:3} in $1"; }
curl_in() { enter curl -sS --fail --max-time 10 --noproxy '*' "$@"; }
ledger() { curl_in "http://127.0.0.1:8444/ledger"; }
live() { ledger | jq -r --arg in "${1:+/$1/}" '[.clients[] | select(.live and (.bootstrap | not) and (.displayName | contains($in)))] | length'; } # [NAMESPACE]
made() { ledger | jq '.clients | length'; }
running_pods() { kubectl -n $namespace get pods -l app.kubernetes.io/instance=$release --field-selector=status.phase=Running -o name; }
leader() { # the pod that holds the lease
  local holder
  holder=$(kubectl -n $namespace get lease $release -o 'jsonpath={.spec.holderIdentity}')
  [[ -n $holder ]] && echo "${holder%_*}"
}
led_by_another() { local now; now=$(leader) && [[ $now != "$1" ]]; } # POD
# All that the operator's pods ever say, to the end of each.
follow() {
  local pod
  for pod in $(running_pods); do
    [[ ! -e $logs/operator.${pod##*/}.log ]] || continue
    "$cluster/enter" kubectl -n $namespace logs -f "$pod" >"$logs/operator.${pod##*/}.log" 2>>"$logs/kubectl.log" &
    followers+=($!)
  done
}
# Every object of the cluster, or those of one selector. Not what comes by itself: events, and the node's sign of life.
objects() { # [OPTIONS...]
  local kinds
  kinds=$(kubectl api-resources --verbs=list -o name | grep -vE '^events(\.|$)' | paste -sd,)
  kubectl get "$kinds" -A -o json "$@" 2>>"$logs/kubectl.log" | jq -r '.items[] | "\(.kind) \(.metadata.namespace // "")/\(.metadata.name)"' | grep -v '^Lease kube-node-lease/' | sort
}
consumer_pod() { sed -e "s/NAME/$1/; s/SECRET/$2/; s/ARGS/[login${3:+, $3}]/" "$e2e/consumer.yaml"; } # NAME SECRET [FLAG]
consumer() { consumer_pod "$@" | kubectl -n ci apply -f - >>"$logs/kubectl.log"; }
# The same pod, kept up by a Deployment of that name.
consumers() { # NAME SECRET [FLAG]
  consumer_pod "$@" | kubectl create --dry-run=client -o json -f - | jq '{apiVersion: "apps/v1", kind: "Deployment", metadata: {name: .metadata.name},
    spec: {selector: {matchLabels: {app: .metadata.name}}, template: {metadata: {labels: {app: .metadata.name}}, spec: (.spec | del(.restartPolicy))}}}' |
    kubectl -n ci apply -f - >>"$logs/kubectl.log"
}
newest_pod() { kubectl -n ci get pods -l app="$1" --sort-by=.metadata.creationTimestamp -o name | tail -n1; } # NAME
secret_field() { kubectl -n ci get secret "$1" -o "jsonpath={.data.$2}" | base64 -d; } # SECRET KEY
# The last line of a pod's log: let in as the issuer's user, with that Secret's client, as a viewer and no more.
proves() { # POD SECRET
  kubectl -n ci logs "$1" | tail -n1 | jq -e --arg id "$(secret_field "$2" clientId)" --arg user "$user" '
    .clientId == $id and .userId == $user and (.tenantId | length > 0)
    and (.permissions | map(sub(".*/c1.api."; "")) | sort) == ["auth.v1.Auth.Introspect", "iam.v1.Roles.List", "user.v1.UserService.Get"]'
}

down
rm -rf -- "$logs" "$work/simulator" "$work/secrets"; mkdir -p "$logs"
"$controlplane/cluster-up.sh" "$cluster" 2>"$logs/cluster-up.log" || { cat "$logs/cluster-up.log" >&2; exit 1; }
# What kubectl and helm learnt of another cluster at this address must not count here.
export KUBECACHEDIR=$cluster/kubectl-cache HELM_CACHE_HOME=$cluster/helm HELM_CONFIG_HOME=$cluster/helm HELM_DATA_HOME=$cluster/helm
for image in c1-operator c1-simulator; do "$cluster/load" "$target/image/$image.tar" >>"$logs/load.log" 2>&1 || die "$image cannot be loaded"; done
passed "a one-node cluster that runs containers, with both images on it"

# A tenant as it is on the internet: at its name, at port 443. Its first line holds a credential.
setsid "$cluster/enter" "$bin/c1-simulator" --listen 10.244.0.1:443 --admin 127.0.0.1:8444 --host $tenant --dir "$work/simulator" \
  --secrets-file "$work/secrets" >"$work/simulator.json" 2>"$logs/simulator.log" </dev/null &
process $! >"$work/simulator.process"
simulator_listens() { alive "$work/simulator.process" >/dev/null || { echo "it ended"; exit 9; }; [[ $(jq -r .url "$work/simulator.json") == "https://$tenant" ]]; }
await 20 "the simulator's line on standard output" simulator_listens
user=$(jq -r .userId "$work/simulator.json")
passed "a C1 tenant that pods reach at $tenant"

kubectl create namespace $namespace >>"$logs/kubectl.log"
kubectl label namespace $namespace pod-security.kubernetes.io/enforce=restricted >>"$logs/kubectl.log"
kubectl create namespace ci >>"$logs/kubectl.log"
for key in clientId clientSecret; do jq -j ".$key" "$work/simulator.json" >"$work/$key"; done
kubectl -n $namespace create secret generic c1-credentials --from-file="$work/clientId" --from-file="$work/clientSecret" >>"$logs/kubectl.log"
kubectl -n ci create configmap c1-ca --from-file="$work/simulator/ca.pem" >>"$logs/kubectl.log"
objects >"$work/before"
grep -q "Secret $namespace/c1-credentials" "$work/before" || die "the list of all objects lacks the Secret"

helm install $release "$chart" -n $namespace -f "$e2e/values.yaml" --set "image.tag=$version" --wait --timeout 2m >"$logs/helm.log"
follow
is "replicas that are ready" "$(kubectl -n $namespace get deployment $release -o 'jsonpath={.status.readyReplicas}')" 2
await 30 "a leader" leader
passed "helm install --wait: two replicas are ready, under the restricted pod security standard, and one leads"

issuer_says() { [[ $(kubectl get clusterclientissuer default -o 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}') == "$1" ]]; }
kubectl -n ci apply -f "$root/examples/" >>"$logs/kubectl.log"
await 30 "the issuer, to say Unreachable" issuer_says Unreachable
kubectl get clusterclientissuer default -o 'jsonpath={.status.conditions[?(@.type=="Ready")].message}' | grep -q 'its certificate is not trusted' ||
  die "the issuer does not say that the tenant's certificate is not trusted"
is "clients made at a tenant that is not trusted" "$(live)" 0
passed "the examples as they are: a tenant whose CA is not a public one is not trusted"

kubectl patch clusterclientissuer default --type merge -p "{\"spec\":{\"caBundle\":\"$(base64 -w0 "$work/simulator/ca.pem")\"}}" >>"$logs/kubectl.log"
wait_for ci condition=Ready clusterclientissuer/default
kubectl -n ci apply -f "$e2e/client.yaml" >>"$logs/kubectl.log"
wait_for ci condition=Ready pclient --all
is "clients at C1" "$(live ci)" 3
passed "with its caBundle: the issuer and all three PersonalClients are Ready, one client each"

consumer by-keys minimal
logging_in=$SECONDS
consumer by-variables pods --repeat
consumer elsewhere ci-deployer-c1
wait_for ci 'jsonpath={.status.phase}=Succeeded' pod/by-keys
proves by-keys minimal >/dev/null || die "the pod by-keys says: $(kubectl -n ci logs by-keys)"
await 30 "the pod by-variables, to be let in" proves by-variables pods
passed "pods log in by envFrom, as the issuer's user, with their own client, as viewers"

wait_for ci 'jsonpath={.status.phase}=Failed' pod/elsewhere
kubectl -n ci logs elsewhere | jq -e --arg id "$(secret_field ci-deployer-c1 clientId)" '. == {clientId: $id, error: "token: status 401"}' >/dev/null ||
  die "the pod elsewhere says: $(kubectl -n ci logs elsewhere)"
passed "a credential for other networks lets no pod in"

before=$(leader)
kubectl -n $namespace delete pod "$before" --wait=false >>"$logs/kubectl.log"
sed 's/name: pods/name: later/' "$e2e/client.yaml" | kubectl -n ci apply -f - >>"$logs/kubectl.log"
wait_for ci condition=Ready pclient/later
await 30 "another leader" led_by_another "$before"
issued_by() { grep -q '"message":"issued","object":"ci/later"' "$logs/operator.$1.log"; } # POD
follow
await 10 "the line about ci/later in the log of the new leader" issued_by "$(leader)"
is "clients at C1" "$(live ci)" 4
passed "the leader's pod is deleted: another one leads, and issues"
replaced() { # POD
  kubectl -n $namespace get pods -l app.kubernetes.io/instance=$release -o json |
    jq -e --arg gone "$1" '[.items[] | select(.metadata.name != $gone and any(.status.conditions[]?; .type == "Ready" and .status == "True"))] | length == 2'
}
await 60 "two pods that are ready beside the one that was deleted" replaced "$before"
follow
passed "and is replaced"

secrets() { kubectl -n ci get secrets -o json | jq -c '.items[].metadata | [.name, .uid, .resourceVersion]'; }
made_before=$(made) secrets_before=$(secrets) before=$(leader)
helm upgrade $release "$chart" -n $namespace --reuse-values --set log.level=debug --wait --timeout 3m >>"$logs/helm.log"
follow
await 60 "a new leader" led_by_another "$before"
metrics_of() { curl_in "http://$(kubectl -n $namespace get pod "$1" -o 'jsonpath={.status.podIP}'):8080/metrics"; } # POD
has_looked() {
  metrics_of "$(leader)" >"$work/metrics" && grep -qE '^c1_operator_personal_clients\{.*ready="true".*\} 4$' "$work/metrics" &&
    grep -qE '^c1_operator_c1_calls_total\{.*operation="list".*status="200".*\} [1-9]' "$work/metrics"
}
await 60 "the new leader, to have looked at the PersonalClients and at C1's list" has_looked
kubectl -n $namespace get pods -l app.kubernetes.io/instance=$release -o json |
  jq -e '[.items[] | select(.metadata.deletionTimestamp | not)] | length == 2 and all(any(.spec.containers[0].args[]; . == "--log-level=debug"))' >/dev/null ||
  die "not two pods with the new value"
unchanged() { is "clients ever made" "$(made)" "$((made_before + $1))"; is "the Secrets" "$(secrets)" "$secrets_before"; } # NEW-CLIENTS
unchanged 0
passed "helm upgrade: new pods, a new leader, and nothing is issued again"

kubectl create namespace team-b >>"$logs/kubectl.log"
kubectl -n team-b apply -f "$root/examples/personalclient-minimal.yaml" -f "$e2e/client.yaml" >>"$logs/kubectl.log"
wait_for team-b condition=Ready pclient --all
is "clients of the namespace" "$(live team-b)" 2
kubectl delete namespace team-b --timeout=90s >>"$logs/kubectl.log"
is "clients of the namespace" "$(live team-b)" 0
is "clients of the other" "$(live ci)" 4
unchanged 2
passed "a namespace is deleted, and its clients are gone at C1"

kubectl -n ci apply -f "$e2e/rolling.yaml" >>"$logs/kubectl.log"
wait_for ci condition=Ready pclient/rolling
consumers rolling rolling --repeat
let_in() { proves "$(newest_pod rolling)" rolling; }
await 60 "a pod of the Deployment, to be let in" let_in
replaced_client=$(secret_field rolling clientId) replaced_pod=$(newest_pod rolling)
kubectl -n ci annotate pclient rolling iam.conductor.one/rotate-requested-at=now >>"$logs/kubectl.log"
let_in_anew() { [[ $(secret_field rolling clientId) != "$replaced_client" && $(newest_pod rolling) != "$replaced_pod" ]] && let_in; }
await 90 "another pod, to be let in with another client" let_in_anew
ledger | jq -e --arg id "$replaced_client" '.clients[] | select(.clientId == $id) | .live' >/dev/null || die "the replaced client is gone already"
wait_for ci 'jsonpath={.status.updatedReplicas}=1' deployment/rolling
kubectl -n ci delete deployment rolling --cascade=foreground --timeout=60s >>"$logs/kubectl.log"
kubectl -n ci delete pclient rolling --timeout=60s >>"$logs/kubectl.log"
passed "a credential is replaced: a Deployment that reads it only at the start gets a new pod, which is let in before the old client goes"

# With one pause of a second after each login: at the very least every other second.
kubectl -n ci logs by-variables >"$work/logins"
jq -e -s --argjson least "$(((SECONDS - logging_in) / 2))" 'length >= $least and length > 0 and all(has("userId"))' "$work/logins" >/dev/null ||
  die "a pod was not let in all the time: $(wc -l <"$work/logins") logins in $((SECONDS - logging_in)) s; $(grep -vm1 userId "$work/logins")"
passed "meanwhile a pod was let in all the time: $(wc -l <"$work/logins") times"

kubectl get secrets -A -o yaml >"$work/all-secrets"
kubectl get pclient,clientissuer,clusterclientissuer,events,events.events.k8s.io,leases,configmaps,pods -A -o yaml >"$work/all-else"
kubectl delete pclient -A --all --timeout=90s >>"$logs/kubectl.log"
is "clients at C1" "$(live)" 0
is "Secrets of clients" "$(kubectl -n ci get secrets -o name)" ""
refused() { kubectl -n ci logs by-variables | tail -n1 | jq -e '.error == "token: status 401"'; }
await 20 "the pod by-variables, to be refused" refused
kubectl delete clusterclientissuer --all --timeout=60s >>"$logs/kubectl.log"
passed "all objects are deleted: clients and Secrets are gone, and who still has a credential is refused"

helm uninstall $release -n $namespace --wait --timeout 3m >>"$logs/helm.log"
# Helm waits for the Deployment, and not for its pods.
none() { local found; found=$(paste -sd,); [[ -z $found ]] || { echo "$found"; return 1; }; }
of_the_release() { objects -l app.kubernetes.io/instance=$release | sed '/^CustomResourceDefinition /d' | none; }
await 60 "what carries the release's label to be gone, but for the CRDs" of_the_release
is "CRDs" "$(objects -l app.kubernetes.io/instance=$release | wc -l)" 3
kubectl -n ci delete pods --all --grace-period=1 >>"$logs/kubectl.log"
# With the CRDs stays the API that they make.
of_anybody() {
  objects >"$work/after"
  comm -13 "$work/before" "$work/after" | sed -E "/^(CustomResourceDefinition|APIService) \/[a-z0-9]+\.iam\.conductor\.one$/d" | none
}
await 60 "what was not there before to be gone" of_anybody
is "what was there before and is not" "$(comm -23 "$work/before" "$work/after" | paste -sd,)" ""
passed "helm uninstall: nothing is left but the CRDs"

# As it is, its key alone, and as base64 in an object; the search must find what is in the Secrets.
jq -Rr '., (@base64 | .[:-4]), (select(startswith("secret-token:")) | split(":")[-1] | ., (gsub("-"; "+") | gsub("_"; "/") | @base64d | fromjson.d))' \
  "$work/secrets" >"$work/needles"
grep -qFf "$work/needles" "$work/all-secrets" || die "the search for secrets does not find those in the Secrets"
for pid in "${followers[@]}"; do wait "$pid" || die "the log of a pod was not read to its end"; done
# two at the install, one for that which was deleted, two at the upgrade
is "pods whose log was kept" "$(find "$logs" -name 'operator.*.log' -size +0 | wc -l)" 5
grep -q '"level":"DEBUG"' "$logs"/operator.*.log || die "the logs hold no line of level debug"
for text in "$logs"/operator.*.log "$work/all-else"; do
  ! grep -qFf "$work/needles" "$text" || die "a secret stands in $text"
  ! grep -qF 'panicked at' "$text" || die "a panic stands in $text"
done
passed "no secret and no panic in $(cat "$logs"/operator.*.log | wc -l) lines of ${#followers[@]} pods, nor in any object but the Secrets"

printf 'e2e: %d checks passed in %.0f s\n' "$checks" "$(bc <<<"$EPOCHREALTIME - $began")"
