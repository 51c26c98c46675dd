#!/usr/bin/env bash
# load.sh N - on what `make up` started: create N PersonalClients at once in a namespace of their own, wait until all are
# Ready, and print how many a second that was, from the first create to the last Ready, and the operator's memory.
# For a far side that takes its time: C1_LATENCY_MS=20 make up
#
# Environment: LOAD_TIMEOUT=300   seconds until it gives up
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
[[ $# -eq 1 && $1 =~ ^[1-9][0-9]*$ ]] || { sed -n '2,/^set /{/^set /!p}' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
n=$1
[[ -e $dev/env ]] || die "nothing is up: make up"
# shellcheck source=/dev/null
. "$dev/env"
work=$(mktemp -d)
ns=load-$(date +%s)
"$KUBECTL" create namespace "$ns" >/dev/null

# Straight to the API server: kubectl makes one request after the other, and on two cores takes time from who is measured.
api=$("$KUBECTL" config view --raw --minify -o json | jq -r '.clusters[0].cluster.server')/apis/iam.conductor.one/v1alpha1/namespaces/$ns/personalclients
{
  printf '%s\n' silent show-error fail 'noproxy = "*"'
  printf '%s = "%s"\n' cacert "$CP_DIR/pki/ca.crt" cert "$CP_DIR/pki/admin.crt" key "$CP_DIR/pki/admin.key"
} >"$work/options"
post() { # URL NAME: curl's configuration for one create
  cat "$work/options"
  printf 'url = "%s"\nheader = "Content-Type: application/json"\noutput = "/dev/null"\n' "$1"
  printf 'data = "{\\"apiVersion\\":\\"iam.conductor.one/v1alpha1\\",\\"kind\\":\\"PersonalClient\\",\\"metadata\\":{\\"name\\":\\"%s\\"},\\"spec\\":{}}"\n' "$2"
}
each=$(post "$api" NAME)
for ((i = 1; i <= n; i++)); do
  ((i == 1)) || echo next # which forgets all options
  echo "${each/NAME/load-$i}"
done >"$work/creates"
# The API server's first create of a new kind takes two seconds, which are not the operator's.
curl --config <(post "$api?dryRun=All" warm-up)

# The watch of them all; await_ready ends with the event that makes the last one Ready.
exec 3< <(exec timeout "${LOAD_TIMEOUT:-300}" curl -N --config "$work/options" "$api?watch=1")
watching=$!
trap 'kill $watching 2>/dev/null || true; rm -rf -- "$work"' EXIT
await_ready() {
  jq -n --argjson n "$n" '
    first(foreach inputs as $event ({};
      if any($event.object.status.conditions[]?; .type == "Ready" and .status == "True") then .[$event.object.metadata.name] = true else . end;
      select(length == $n))) | length' <&3
}

say "creating $n PersonalClients in namespace $ns"
t0=$EPOCHREALTIME
curl --no-progress-meter --parallel --parallel-max 32 --config "$work/creates"
t1=$EPOCHREALTIME
say "$(printf 'all created after %.1f s; waiting for Ready' "$(bc <<<"$t1 - $t0")")"
ready=$(await_ready)
t2=$EPOCHREALTIME
if [[ $ready != "$n" ]]; then
  "$KUBECTL" -n "$ns" get pclient -o json | jq -r '.items[] | (.status.conditions // [] | map(select(.type == "Ready")) | first) // {} | "\(.status) \(.reason)"' | sort | uniq -c >&2
  die "not all of $n are Ready after ${LOAD_TIMEOUT:-300} s"
fi
memory() { awk -v key="$1:" '$1 == key {printf "%.1f", $2 / 1024}' "/proc/$OPERATOR_PID/status"; }
printf '%d Ready in %.1f s: %.1f a second; operator: %s MiB resident, %s MiB at its peak\n' \
  "$n" "$(bc <<<"$t2 - $t0")" "$(bc -l <<<"$n / ($t2 - $t0)")" "$(memory VmRSS)" "$(memory VmHWM)"
