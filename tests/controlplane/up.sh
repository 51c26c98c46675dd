#!/usr/bin/env bash
# up.sh BASE_PORT DATA_DIR - start a private Kubernetes control plane on 127.0.0.1
# and print the path of an admin kubeconfig once /readyz says ok and
# kube-controller-manager is healthy.
#
# Ports: BASE kube-apiserver (https), BASE+1 etcd clients, BASE+2 etcd peers,
#        BASE+3 kube-controller-manager (https), BASE+4 kube-scheduler (https)
# Environment:
#   CP_BIN=DIR            where etcd, kube-apiserver, ... are (default: bin/ beside this script)
#   ETCD_FSYNC=1          fsync for real (default: --unsafe-no-fsync; data is lost only if the machine dies)
#   ETCD_IN_MEMORY=1      keep etcd's data in /dev/shm (linked from DATA_DIR/etcd)
#   CP_SCHEDULER=1        also start kube-scheduler
#   CP_NO_KCM=1           no kube-controller-manager (no garbage collection, no namespace deletion)
#   KCM_CONTROLLERS=LIST  --controllers (default '*')
#   CP_NODE_IP=ADDRESS    listen on every address and advertise this one: for pods (cluster-up.sh)
#   CP_ISSUER=URL         issuer of service-account tokens (default: this API server, so that its discovery
#                         document and JWKS can be fetched, once that is allowed: bind the ClusterRole
#                         system:service-account-issuer-discovery)
#   APISERVER_ARGS, KCM_ARGS   extra flags, split on blanks
#   CP_TIMEOUT=60         seconds to wait
# A DATA_DIR that was used before is started again with its certificates and data.
set -euo pipefail
[[ $# -eq 2 && $1 =~ ^[0-9]+$ ]] || { sed -n '2,/^set /{/^set /!p}' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)
base=$1; mkdir -p "$2"; d=$(cd "$2" && pwd); bin=${CP_BIN:-$here/bin}; ip=127.0.0.1
t0=$EPOCHREALTIME
say() { echo "up.sh: $*" >&2; }
pki=$d/pki; log=$d/log; run=$d/pids; mkdir -p "$pki" "$log" "$run"; chmod 700 "$d" "$pki"
exec 9>"$d/.lock"; flock -n 9 || { say "another up.sh or down.sh is at work on $d"; exit 1; }

names=(etcd kube-apiserver)
[[ -n ${CP_NO_KCM:-} ]] || names+=(kube-controller-manager)
[[ -z ${CP_SCHEDULER:-} ]] || names+=(kube-scheduler)
for n in "${names[@]}"; do [[ -x $bin/$n ]] || { say "no $bin/$n"; exit 1; }; done
for n in etcd kube-apiserver kube-controller-manager kube-scheduler; do
  if [[ -s $run/$n.pid ]] && kill -0 "$(<"$run/$n.pid")" 2>/dev/null; then say "$n already runs from $d; down.sh $d first"; exit 1; fi
  rm -f "$run/$n.pid"
done
for p in $base $((base + 1)) $((base + 2)) $((base + 3)) $((base + 4)); do
  if (exec 3<>"/dev/tcp/$ip/$p") 2>/dev/null; then say "port $p is taken"; exit 1; fi
done

# --- certificates: ECDSA P-256, PKCS#8 keys, X.509 v3 with SANs and EKUs (rustls insists)
key() { [[ -s $1 ]] || (umask 077; openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1" 2>/dev/null); }
cert() { # NAME SUBJECT EXTENSIONS...; signed by $ca
  local n=$1 s=$2 ca=${ca:-ca}; shift 2
  [[ -s $pki/$n.crt ]] && return
  key "$pki/$n.key"
  openssl req -new -key "$pki/$n.key" -subj "$s" -out "$pki/$n.csr"
  openssl x509 -req -in "$pki/$n.csr" -CA "$pki/$ca.crt" -CAkey "$pki/$ca.key" -CAserial "$pki/$ca.srl" -CAcreateserial \
    -days 365 -sha256 -extfile <(printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature "$@") \
    -out "$pki/$n.crt" 2>/dev/null
  rm -f "$pki/$n.csr"
}
for ca in ca front-proxy-ca; do # the second only for aggregated API servers (request headers)
  [[ ! -s $pki/$ca.crt ]] || continue
  key "$pki/$ca.key"
  openssl req -x509 -new -key "$pki/$ca.key" -subj "/CN=cp-$ca-$base" -days 3650 -sha256 \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,digitalSignature,keyCertSign,cRLSign \
    -out "$pki/$ca.crt"
done
ca=front-proxy-ca cert front-proxy "/CN=front-proxy-client" extendedKeyUsage=clientAuth
ca=ca
cert apiserver "/CN=kube-apiserver" extendedKeyUsage=serverAuth \
  "subjectAltName=DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:10.0.0.1${CP_NODE_IP:+,IP:$CP_NODE_IP}"
cert admin "/O=system:masters/CN=cp-admin" extendedKeyUsage=clientAuth
cert kcm "/CN=system:kube-controller-manager" extendedKeyUsage=clientAuth
cert scheduler "/CN=system:kube-scheduler" extendedKeyUsage=clientAuth
# service-account tokens: RS256, so that any OIDC library accepts them
if [[ ! -s $pki/sa.key ]]; then
  (umask 077; openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$pki/sa.key" 2>/dev/null)
  openssl pkey -in "$pki/sa.key" -pubout -out "$pki/sa.pub"
fi
kubeconfig() { # FILE CERTNAME
  (umask 077; cat >"$1" <<YAML
apiVersion: v1
kind: Config
current-context: cp
clusters:
- name: cp
  cluster: {server: "https://$ip:$base", certificate-authority-data: $(base64 -w0 <"$pki/ca.crt")}
users:
- name: $2
  user: {client-certificate-data: $(base64 -w0 <"$pki/$2.crt"), client-key-data: $(base64 -w0 <"$pki/$2.key")}
contexts:
- name: cp
  context: {cluster: cp, user: $2}
YAML
  )
}
kubeconfig "$d/kubeconfig" admin; kubeconfig "$d/kcm.kubeconfig" kcm; kubeconfig "$d/scheduler.kubeconfig" scheduler
t1=$EPOCHREALTIME

# --- processes
start() { # NAME ARGS...: own session, so neither this shell's end nor ^C reaches it
  local n=$1; shift
  setsid "$bin/$n" "$@" >>"$log/$n.log" 2>&1 9>&- </dev/null &
  echo $! >"$run/$n.pid"
}
alive() { kill -0 "$(<"$run/$1.pid")" 2>/dev/null; }
fail() { say "$*"; flock -u 9; "$here/down.sh" "$d" >&2 || true; exit 1; }
deadline=$((SECONDS + ${CP_TIMEOUT:-60}))
await() { # NAME COMMAND...
  local n=$1; shift
  until "$@" >/dev/null 2>&1; do
    alive "$n" || { tail -n 15 "$log/$n.log" >&2; fail "$n ended; log: $log/$n.log"; }
    ((SECONDS < deadline)) || { tail -n 15 "$log/$n.log" >&2; fail "$n not ready in time; log: $log/$n.log"; }
    sleep 0.1
  done
}
etcd_dir=$d/etcd
if [[ -n ${ETCD_IN_MEMORY:-} && ! -e $etcd_dir ]]; then ln -s "$(mktemp -d /dev/shm/cp-etcd.XXXXXX)" "$etcd_dir"; fi
eflags=(--name=default --data-dir="$etcd_dir/default" --log-level=warn
  --listen-client-urls="http://$ip:$((base + 1))" --advertise-client-urls="http://$ip:$((base + 1))"
  --listen-peer-urls="http://$ip:$((base + 2))" --initial-advertise-peer-urls="http://$ip:$((base + 2))"
  --initial-cluster="default=http://$ip:$((base + 2))")
mkdir -p "$etcd_dir"
[[ -n ${ETCD_FSYNC:-} ]] || eflags+=(--unsafe-no-fsync)
start etcd "${eflags[@]}" ${ETCD_ARGS:-}
await etcd curl -sS --fail --max-time 2 --noproxy '*' "http://$ip:$((base + 1))/readyz" # started earlier, kube-apiserver backs off for a second
listen=(--bind-address="$ip" --advertise-address="$ip" --endpoint-reconciler-type=none)
if [[ -n ${CP_NODE_IP:-} ]]; then
  listen=(--bind-address=0.0.0.0 --advertise-address="$CP_NODE_IP" --endpoint-reconciler-type=lease
    --kubelet-client-certificate="$pki/admin.crt" --kubelet-client-key="$pki/admin.key" --kubelet-preferred-address-types=InternalIP)
fi
start kube-apiserver --v=1 \
  "${listen[@]}" --secure-port="$base" \
  --etcd-servers="http://$ip:$((base + 1))" \
  --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
  --client-ca-file="$pki/ca.crt" --authorization-mode=Node,RBAC \
  --service-account-issuer="${CP_ISSUER:-https://${CP_NODE_IP:-$ip}:$base}" \
  --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
  --requestheader-client-ca-file="$pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
  --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key" \
  --service-cluster-ip-range=10.0.0.0/24 --allow-privileged=true --profiling=false \
  ${APISERVER_ARGS:-}
get() { curl -sS --fail --max-time 5 --noproxy '*' --cacert "$pki/ca.crt" "$@"; }
await kube-apiserver get "https://$ip:$base/readyz"
t2=$EPOCHREALTIME
if [[ -z ${CP_NO_KCM:-} ]]; then
  start kube-controller-manager --v=1 \
    --bind-address=$ip --secure-port=$((base + 3)) --leader-elect=false \
    --kubeconfig="$d/kcm.kubeconfig" --authentication-kubeconfig="$d/kcm.kubeconfig" --authorization-kubeconfig="$d/kcm.kubeconfig" \
    --use-service-account-credentials=true --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --controllers="${KCM_CONTROLLERS:-*}" --profiling=false --kube-api-qps=500 --kube-api-burst=1000 \
    --flex-volume-plugin-dir="$d/flexvolume" \
    ${KCM_ARGS:-}
fi
if [[ -n ${CP_SCHEDULER:-} ]]; then
  start kube-scheduler --v=1 --bind-address=$ip --secure-port=$((base + 4)) --leader-elect=false \
    --kubeconfig="$d/scheduler.kubeconfig" --authentication-kubeconfig="$d/scheduler.kubeconfig" \
    --authorization-kubeconfig="$d/scheduler.kubeconfig" --profiling=false
fi
if [[ -z ${CP_NO_KCM:-} ]]; then
  await kube-controller-manager get -k "https://$ip:$((base + 3))/healthz"
  # the default namespace is usable for pods once its service account exists
  admin=(get --cert "$pki/admin.crt" --key "$pki/admin.key")
  await kube-controller-manager "${admin[@]}" "https://$ip:$base/api/v1/namespaces/default/serviceaccounts/default"
fi
t3=$EPOCHREALTIME
say "$(printf 'certificates %.1fs, apiserver ready %.1fs, all ready %.1fs after the start' \
  "$(bc <<<"$t1-$t0")" "$(bc <<<"$t2-$t0")" "$(bc <<<"$t3-$t0")")"
echo "$d/kubeconfig"
