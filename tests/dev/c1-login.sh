#!/usr/bin/env bash
# c1-login.sh secret|assertion|env - log in at ConductorOne with what the operator wrote into a Secret, and ask who we are.
# curl, openssl and jq only: it shares no code with the operator or the simulator, and so can contradict both.
#
#   secret      client id and secret of the Secret on standard input (kubectl get secret NAME -o json), sent as they are
#   assertion   the same, but the secret stays here and signs a token request (Ed25519, RFC 7523)
#   env         CONDUCTORONE_CLIENT_ID and CONDUCTORONE_CLIENT_SECRET alone; the host comes from the client id, as in
#               ConductorOne's SDKs
#
# C1_CA=FILE: the CA that the server's certificate must come from (absent: the machine's own).
# Exit code: 0 let in; 3 refused by ConductorOne; 2 wrong use; 1 anything else.
set -euo pipefail
umask 077
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }
[[ $# -eq 1 && $1 =~ ^(secret|assertion|env)$ ]] || { sed -n '2,/^set /{/^set /!p}' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2; }
mode=$1
work=$(mktemp -d); trap 'rm -rf -- "$work"' EXIT

# Secrets go from program to program by pipe, never as an argument (which every user of the machine can read).
base64url() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
base64url_decode() { local s; s=$(tr -- '-_' '+/'); while ((${#s} % 4)); do s+='='; done; printf %s "$s" | base64 -d; }
form() { # NAME VALUE...: a form's body
  local sep=''
  while (($# > 0)); do printf '%s%s=' "$sep" "$1"; printf %s "$2" | jq -sRr '@uri' | tr -d '\n'; sep='&'; shift 2; done
}
field() { jq -re --arg key "$1" '.data[$key] | select(. != null) | @base64d' <<<"$secret_object" || die "the Secret has no key $1"; }

if [[ $mode == env ]]; then
  client_id=${CONDUCTORONE_CLIENT_ID:?}
  client_secret=${CONDUCTORONE_CLIENT_SECRET:?}
  server=https://$(sed -n 's|^[^@]*@\([^/]*\)/.*|\1|p' <<<"$client_id")
  token_url=$server/auth/v1/token
else
  secret_object=$(cat)
  client_id=$(field clientId)
  client_secret=$(field clientSecret)
  server=$(field serverUrl)
  token_url=$(field tokenUrl)
fi
[[ $client_id =~ ^[^@/]+@([^/]+)/[a-z]+$ ]] || die "not a client id: $client_id"
host=${BASH_REMATCH[1]%:*} # the audience is a host without its port

# The client secret is secret-token:conductorone.com:v1:JWK; d in the JWK is the private key's 32 bytes.
assertion() {
  local jwk seed now nonce signed
  [[ $client_secret =~ ^secret-token:conductorone\.com:v1:([-_A-Za-z0-9]+)$ ]] || die "not a client secret of the form secret-token:conductorone.com:v1:…"
  jwk=$(base64url_decode <<<"${BASH_REMATCH[1]}")
  seed=$(jq -re 'select(.kty == "OKP" and .crv == "Ed25519") | .d' <<<"$jwk") || die "the secret holds no private Ed25519 JWK"
  # PKCS#8 (RFC 8410) is a fixed head before those bytes
  { printf '\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20'; base64url_decode <<<"$seed"; } >"$work/key.der"
  now=$(date +%s) nonce=$(openssl rand -hex 16)
  signed=$(jq -cnj --arg nonce "$nonce" '{alg: "EdDSA", nonce: $nonce}' | base64url).$(
    jq -cnj --arg id "$client_id" --arg host "$host" --argjson now "$now" \
      '{iss: $id, sub: $id, aud: [$host], iat: $now, nbf: ($now - 120), exp: ($now + 120)}' | base64url)
  printf %s "$signed" >"$work/signed" # openssl signs files only
  printf '%s.%s' "$signed" "$(openssl pkeyutl -sign -rawin -in "$work/signed" -inkey "$work/key.der" -keyform DER | base64url)"
}

# call WHAT URL CURL-OPTIONS…: the answer's body in $work/body; ends the script when it is not 200.
call() {
  local what=$1 url=$2 status; shift 2
  status=$(curl -sS --max-time 20 --noproxy '*' ${C1_CA:+--cacert "$C1_CA"} -o "$work/body" -w '%{http_code}' "$@" "$url") || die "$what: no answer from $url"
  [[ $status != 200 ]] || return 0
  say "$what: status $status, $(jq -cr '{error, error_description, code, message} | del(.[] | nulls)' "$work/body" 2>/dev/null || echo 'and no JSON')"
  case $status in 400 | 401 | 403) exit 3 ;; *) exit 1 ;; esac
}

if [[ $mode == secret ]]; then
  form grant_type client_credentials client_id "$client_id" client_secret "$client_secret" >"$work/form"
else
  jwt=$(assertion)
  form grant_type client_credentials client_id "$client_id" client_assertion "$jwt" \
    client_assertion_type urn:ietf:params:oauth:client-assertion-type:jwt-bearer >"$work/form"
fi
call "log in at $token_url" "$token_url" --data-binary "@$work/form"
token=$(jq -re '.access_token | select(. != "")' "$work/body") || die "the answer of $token_url holds no access_token"
call "introspect" "$server/api/v1/auth/introspect" -H @- <<<"Authorization: Bearer $token"
user=$(jq -re '.userId | select(. != null and . != "")' "$work/body") || die "the answer of introspect names no user"
echo "let in as user $user by ${mode/env/assertion, from the environment}"
