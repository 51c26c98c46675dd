#!/usr/bin/env bash
# verify.sh KUBECONFIG - what an operator relies on, tried against a running control plane
set -uo pipefail; shopt -s lastpipe
PATH=${CP_BIN:-$(cd "$(dirname "$0")" && pwd)/bin}:$PATH # its own kubectl, whatever the machine has
export KUBECONFIG=$1; k="kubectl --warnings-as-errors=false"; ns=verify-$$; bad=0
pass() { printf 'PASS %s\n' "$*"; }
fail() { printf 'FAIL %s\n' "$*"; bad=1; }
ok() { local d=$1; shift; if out=$("$@" 2>&1); then pass "$d"; else fail "$d: $out"; fi; }
no() { # DESC PATTERN CMD...: must fail and say PATTERN
  local d=$1 p=$2; shift 2
  if out=$("$@" 2>&1); then fail "$d: was accepted: $out"
  elif grep -qiE -- "$p" <<<"$out"; then pass "$d: $(grep -iE -m1 -- "$p" <<<"$out" | cut -c1-260)"
  else fail "$d: other error: $out"; fi
}
await() { local d=$1 t=$2; shift 2; local s=$EPOCHREALTIME; until "$@" >/dev/null 2>&1; do
  (($(bc <<<"$EPOCHREALTIME - $s < $t"))) || { fail "$d: not within ${t}s"; return; }; sleep 0.1; done
  pass "$d after $(printf %.1f "$(bc <<<"$EPOCHREALTIME - $s")")s"; }
gone() { ! $k get "$@" >/dev/null 2>&1; }
there() { $k -n $ns get secret "$1" >/dev/null 2>&1 || fail "secret $1 was not made"; }
apply() { $k apply "$@" -f -; }
ok "server version" $k get --raw /version
$k create ns $ns >/dev/null; $k config view >/dev/null
cat <<'Y' | ok "CRD with CEL (isCIDR, cidr(), transition rule, messageExpression)" $k apply -f -
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tenants.verify.example.com}
spec:
  group: verify.example.com
  scope: Namespaced
  names: {kind: Tenant, plural: tenants, singular: tenant, shortNames: [tn]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    additionalPrinterColumns: [{name: Min, type: integer, jsonPath: .spec.min}]
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [cidrs]
            x-kubernetes-validations:
            - {rule: "self.min <= self.max", message: "min must not exceed max", fieldPath: .min}
            - {rule: "!has(self.gateway) || self.cidrs.exists(c, isCIDR(c) && cidr(c).containsIP(self.gateway))", messageExpression: "'gateway ' + self.gateway + ' is in none of cidrs'", fieldPath: .gateway}
            properties:
              cidrs:
                type: array
                maxItems: 8
                x-kubernetes-list-type: set
                items: {type: string, maxLength: 43, x-kubernetes-validations: [{rule: "isCIDR(self)", message: "must be a CIDR"}]}
              gateway: {type: string, maxLength: 39, x-kubernetes-validations: [{rule: "isIP(self)", message: "must be an IP"}]}
              min: {type: integer, default: 1}
              max: {type: integer, default: 3}
              owner: {type: string, maxLength: 64, x-kubernetes-validations: [{rule: "self == oldSelf", message: "owner is immutable"}]}
          status:
            type: object
            properties:
              conditions:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [type]
                items:
                  type: object
                  required: [type, status]
                  properties: {type: {type: string}, status: {type: string}, reason: {type: string}}
Y
cat <<'Y' | no "CRD whose CEL rule does not compile" 'undeclared reference|compilation failed' $k apply -f -
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: broken.verify.example.com}
spec:
  group: verify.example.com
  scope: Namespaced
  names: {kind: Broken, plural: broken}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: string, x-kubernetes-validations: [{rule: "isCIDRR(self)"}]}}}}
Y
ok "CRD Established" $k wait --for=condition=Established crd/tenants.verify.example.com --timeout=10s
tenant() { printf 'apiVersion: verify.example.com/v1\nkind: Tenant\nmetadata: {name: %s, namespace: %s}\nspec: %s\n' "$1" $ns "$2"; }
tenant good '{cidrs: [10.0.0.0/8, "fd00::/8"], gateway: 10.1.2.3, owner: alice}' | ok "good CR" $k apply -f -
[[ $($k -n $ns get tenant good -o jsonpath='{.spec.min}{.spec.max}') = 13 ]] && pass "defaults filled in" || fail "defaults"
tenant b1 '{cidrs: [10.0.0.0/33]}' | no "isCIDR refuses 10.0.0.0/33" 'must be a CIDR' $k apply -f -
tenant b2 '{cidrs: [10.0.0.0/8], gateway: 192.168.0.1}' | no "cidr().containsIP and messageExpression refuse an outside gateway" 'spec.gateway: .*gateway 192.168.0.1 is in none of cidrs' $k apply -f -
tenant b3 '{cidrs: [10.0.0.0/8], min: 5, max: 2}' | no "cross-field rule" 'spec.min: .*min must not exceed max' $k apply -f -
tenant b4 '{cidrs: [10.0.0.0/8], nosuch: 1}' | no "strict field validation" 'unknown field "spec.nosuch"' $k apply -f - --validate=strict
tenant good '{cidrs: [10.0.0.0/8], owner: bob}' | no "transition rule (oldSelf)" 'owner is immutable' $k apply -f -
ok "status subresource" $k -n $ns patch tenant good --subresource=status --type=merge -p '{"status":{"conditions":[{"type":"Ready","status":"True","reason":"Ok"}]}}'
ok "wait on a condition" $k -n $ns wait --for=condition=Ready tenant/good --timeout=5s
# server-side apply
cm() { printf 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ssa, namespace: %s}\ndata: %s\n' $ns "$1"; }
cm '{a: "1"}' | ok "SSA by manager one" apply --server-side --field-manager=one
cm '{b: "2"}' | ok "SSA by manager two, other field" apply --server-side --field-manager=two
cm '{a: "9"}' | no "SSA conflict" 'conflict with "one"' apply --server-side --field-manager=three
cm '{a: "9"}' | ok "SSA forced" apply --server-side --field-manager=three --force-conflicts
[[ $($k -n $ns get cm ssa -o jsonpath='{.data.a}{.data.b}') = 92 ]] && pass "SSA result" || fail "SSA result"
tenant good '{cidrs: [10.0.0.0/8, "fd00::/8"], gateway: 10.1.2.4}' | ok "SSA of a custom resource" apply --server-side --field-manager=op --force-conflicts
# ValidatingAdmissionPolicy
cat <<Y | ok "ValidatingAdmissionPolicy and binding" $k apply -f -
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: $ns}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules: [{apiGroups: [verify.example.com], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [tenants]}]
  variables: [{name: wide, expression: "object.spec.cidrs.filter(c, cidr(c).prefixLength() < 8)"}]
  validations: [{expression: "variables.wide.size() == 0", messageExpression: "'too wide: ' + variables.wide[0]", reason: Forbidden}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: $ns}
spec: {policyName: $ns, validationActions: [Deny]}
Y
vap() { ! tenant b5 '{cidrs: [10.0.0.0/4]}' | $k apply --dry-run=server -f - ; }
await "policy in force" 20 vap
tenant b5 '{cidrs: [10.0.0.0/4]}' | no "policy denies" 'too wide: 10.0.0.0/4' $k apply -f -
await "policy type-checked by the controller manager" 20 bash -c "[[ -n \$($k get validatingadmissionpolicy $ns -o jsonpath='{.status.observedGeneration}') ]]"
# Lease with optimistic concurrency
lease() { printf 'apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: op, namespace: %s%s}\nspec: {holderIdentity: %s, leaseDurationSeconds: 15, renewTime: "2026-01-01T00:00:00.000000Z"}\n' $ns "${2:-}" "$1"; }
lease one | ok "Lease" $k create -f -
rv=$($k -n $ns get lease op -o jsonpath='{.metadata.resourceVersion}')
lease two ", resourceVersion: \"$rv\"" | ok "Lease taken over" $k replace -f -
lease three ", resourceVersion: \"$rv\"" | no "stale Lease write" 'the object has been modified' $k replace -f -
# tokens and RBAC
$k -n $ns create sa op >/dev/null
token=$($k -n $ns create token op --duration=1h) && pass "create token ($(cut -d. -f1 <<<"$token" | base64 -d 2>/dev/null | grep -o '"alg":"[^"]*"'))" || fail "create token"
sub=$(printf 'apiVersion: authentication.k8s.io/v1\nkind: TokenReview\nspec: {token: %s}\n' "$token" | $k create -f - -o jsonpath='{.status.authenticated} {.status.user.username}')
[[ $sub = "true system:serviceaccount:$ns:op" ]] && pass "TokenReview: $sub" || fail "TokenReview: $sub"
t="kubectl --kubeconfig=/dev/null --server=$($k config view --minify -o jsonpath='{.clusters[0].cluster.server}') --token=$token --certificate-authority=$(dirname "$KUBECONFIG")/pki/ca.crt -n $ns"
no "RBAC denies the service account" 'Forbidden.*cannot list resource "secrets"' $t get secrets
$k -n $ns create role op --verb=get,list --resource=secrets >/dev/null; $k -n $ns create rolebinding op --role=op --serviceaccount=$ns:op >/dev/null
await "RBAC allows after a RoleBinding" 10 $t get secrets
no "and still denies elsewhere" 'Forbidden' $t -n kube-system get secrets
no "a bad token is refused" 'Unauthorized|logged in' kubectl --kubeconfig=/dev/null --server="$($k config view --minify -o jsonpath='{.clusters[0].cluster.server}')" --token=x --certificate-authority="$(dirname "$KUBECONFIG")/pki/ca.crt" get ns
cat <<Y | ok "long-lived token Secret" $k apply -f -
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata: {name: op-token, namespace: $ns, annotations: {kubernetes.io/service-account.name: op}}
Y
await "  filled in by the controller manager" 20 bash -c "[[ -n \$($k -n $ns get secret op-token -o jsonpath='{.data.token}') ]]"
# garbage collection
owned() { printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: %s, ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: %s, controller: true, blockOwnerDeletion: %s}]}\n' "$1" $ns "$2" "$3" "$4" "$5" "${6:-false}"; }
$k -n $ns create cm owner >/dev/null; owned s1 v1 ConfigMap owner "$($k -n $ns get cm owner -o jsonpath='{.metadata.uid}')" | $k create -f - >/dev/null; there s1
$k -n $ns delete cm owner >/dev/null; await "GC of a Secret whose ConfigMap owner went" 60 gone -n $ns secret s1
owned s2 verify.example.com/v1 Tenant good "$($k -n $ns get tenant good -o jsonpath='{.metadata.uid}')" | $k create -f - >/dev/null; there s2
$k -n $ns delete tenant good --wait=false >/dev/null; await "GC of a Secret whose custom owner (a CRD $SECONDS s old) went" 90 gone -n $ns secret s2
tenant fg '{cidrs: [10.0.0.0/8]}' | $k apply -f - >/dev/null; owned s3 verify.example.com/v1 Tenant fg "$($k -n $ns get tenant fg -o jsonpath='{.metadata.uid}')" true | $k create -f - >/dev/null; there s3
$k -n $ns delete tenant fg --cascade=foreground --wait=false >/dev/null; await "foreground deletion: owner and Secret gone" 60 bash -c "! $k -n $ns get tenant fg && ! $k -n $ns get secret s3"
owned s4 verify.example.com/v1 Tenant nobody 00000000-0000-0000-0000-000000000000 | ok "Secret of an owner that never was" $k create -f -; await "  collected" 60 gone -n $ns secret s4
# finalizer
tenant fin '{cidrs: [10.0.0.0/8]}' | $k apply -f - >/dev/null; $k -n $ns patch tenant fin --type=merge -p '{"metadata":{"finalizers":["verify.example.com/x"]}}' >/dev/null
$k -n $ns delete tenant fin --wait=false >/dev/null; [[ -n $($k -n $ns get tenant fin -o jsonpath='{.metadata.deletionTimestamp}') ]] && pass "finalizer holds deletion" || fail finalizer
$k -n $ns patch tenant fin --type=merge -p '{"metadata":{"finalizers":[]}}' >/dev/null; await "gone once the finalizer is off" 5 gone -n $ns tenant fin
# events.k8s.io/v1
cat <<Y | ok "events.k8s.io/v1 Event" $k create -f -
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: ev1, namespace: $ns}
eventTime: "2026-01-01T00:00:00.000000Z"
reportingController: verify.example.com/op
reportingInstance: op-0
action: Sync
reason: Synced
type: Normal
note: all good
regarding: {apiVersion: verify.example.com/v1, kind: Tenant, namespace: $ns, name: good}
Y
[[ $($k -n $ns get events ev1 -o jsonpath='{.message} {.reportingComponent}') = "all good verify.example.com/op" ]] && pass "  readable as core/v1" || fail "event as core/v1"
# watch with bookmarks / streaming list
w=$($k get --raw "/api/v1/namespaces/$ns/secrets?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&timeoutSeconds=2" 2>&1); grep -q 'k8s.io/initial-events-end' <<<"$w" && pass "streaming list (initial-events-end bookmark)" || fail "streaming list: $w"
# namespaces, quota
$k delete crd tenants.verify.example.com --wait=false >/dev/null; $k delete validatingadmissionpolicy,validatingadmissionpolicybinding $ns >/dev/null 2>&1
await "CRD deletion" 30 gone crd tenants.verify.example.com
$k delete ns $ns --wait=false >/dev/null; await "namespace deletion" 60 gone ns $ns
exit $bad
