#!/usr/bin/env bash
# demo.sh - `make demo`: from a PersonalClient to a login at C1 with what the operator put into its Secret.
# ONCE=1: take everything down at the end. Otherwise it stays up to play with.
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
finish() {
  local rc=$?
  if ((rc != 0)) && [[ -e $dev/env ]]; then
    say "failed; the operator's last lines:"
    tail -n 30 "$dev"/log/operator.* >&2 || true
  fi
  [[ -z ${ONCE:-} ]] || "$here/down.sh"
  exit $rc
}
trap finish EXIT
# Shows a command as one would type it, then runs it.
show() { printf '\n$ %s\n' "$*"; "$@"; }
kubectl() { "$KUBECTL" "$@"; }

"$here/down.sh"
"$here/up.sh"
# shellcheck source=/dev/null
. "$dev/env"

say "two PersonalClients, from examples/"
kubectl create namespace demo >/dev/null
cd "$root"
show kubectl -n demo apply -f examples/personalclient-minimal.yaml -f examples/personalclient.yaml
show kubectl -n demo wait --for=condition=Ready --timeout=60s pclient --all
show kubectl -n demo get pclient
printf '\n$ kubectl -n demo get pclient ci-deployer -o json | jq .status\n'
kubectl -n demo get pclient ci-deployer -o json | jq .status
printf '\n$ kubectl -n demo get secret ci-deployer-c1 -o json | jq ...   # the keys, not their values\n'
kubectl -n demo get secret ci-deployer-c1 -o json | jq -r '.data | to_entries[] | "\(.key): \(.value | @base64d | utf8bytelength) bytes"'

printf '\n'
say "logging in at C1 with those, by curl and openssl (tests/dev/c1-login.sh)"
secret() { kubectl -n demo get secret "$1" -o json; }
secret ci-deployer-c1 | "$here/c1-login.sh" secret
secret ci-deployer-c1 | "$here/c1-login.sh" assertion
secret minimal | "$here/c1-login.sh" assertion
# As envFrom hands it to a container: its data, and not a variable more of this shell's.
(
  while IFS= read -r -d '' pair; do export "${pair?}"; done < <(
    secret ci-deployer-c1 | jq -j '.data | to_entries[] | select(.key | startswith("CONDUCTORONE_")) | "\(.key)=\(.value | @base64d)\u0000"')
  "$here/c1-login.sh" env
)

say "and with a wrong secret: that of another client"
wrong() { jq -s '.[0].data.clientSecret = .[1].data.clientSecret | .[0]' <(secret ci-deployer-c1) <(secret minimal); }
for mode in secret assertion; do
  rc=0; wrong | "$here/c1-login.sh" "$mode" || rc=$?
  ((rc == 3)) || die "a wrong secret was not refused by $mode: exit code $rc"
  echo "refused, by $mode"
done

[[ -n ${ONCE:-} ]] || cat <<EOF

It stays up until \`make down\`. To go on:

  source target/dev/env
  kubectl get conductorone -A                      # all that there is
  kubectl -n demo describe pclient ci-deployer     # conditions and events
  kubectl -n demo delete secret minimal            # what happens to a lost Secret
  kubectl -n demo delete pclient ci-deployer       # revoked at C1, then gone
  curl -s \$C1_ADMIN_URL/ledger | jq                # every client that C1 ever made
  curl -s \$OPERATOR_METRICS_URL
  tail -f target/dev/log/operator.*
  tests/dev/load.sh 500                            # five hundred at once
EOF
say "done"
