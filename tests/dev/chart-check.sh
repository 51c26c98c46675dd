#!/usr/bin/env bash
# chart-check.sh - render charts/c1-operator with each value set in its ci/, and have a real API server ($KUBECONFIG) take
# every object, strictly and without a warning, also not of the restricted pod security standard. Also: every value does
# something, wrong values are refused in words that help, the README is made of values.yaml, the CRDs reach the cluster as they
# were generated, and a release that is upgraded and uninstalled leaves them and what was made of them.
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
[[ -n ${KUBECONFIG:-} ]] || die "no KUBECONFIG: tests/controlplane/run.sh $0"
programs
work=$(mktemp -d)
ns=chart-check-$$
release=chart-check-$$
finish() {
  "$HELM" uninstall "$release" --namespace "$ns" --ignore-not-found >/dev/null 2>&1 || true
  "$KUBECTL" delete clusterclientissuer "$ns" --ignore-not-found >/dev/null 2>&1 || true
  "$KUBECTL" delete namespace "$ns" --wait=false --ignore-not-found >/dev/null 2>&1 || true
  rm -rf -- "$work"
}
trap finish EXIT

render() { "$HELM" template c1-operator "$chart" --namespace "$ns" "$@"; }
# Would the API server take it? By force: what another suite applied here before is no conflict.
accepts() { # FILE [ARGUMENTS]
  "$KUBECTL" apply --server-side --force-conflicts --dry-run=server --validate=strict --warnings-as-errors -f "$@"
}

shopt -s nullglob
crds=("$chart"/files/crds/*.yaml)
((${#crds[@]} > 0)) || die "no CRDs in the chart: make crds"
diff -r "$root/crds" "$chart/files/crds" >&2 || die "the chart's CRDs are not those of crds/: make crds"
sets=("$chart"/ci/*.yaml)
for set in "${sets[@]}"; do
  "$HELM" lint --strict --quiet "$chart" --values "$set" >&2 || die "helm lint with ${set#"$root/"}"
done

# --- the README
"$target/tools/helm-docs" --chart-search-root "$chart" --sort-values-order file --log-level warning --dry-run >"$work/README.md"
diff "$chart/README.md" "$work/README.md" >&2 || die "the chart's README.md is not what values.yaml and README.md.gotmpl make: make chart-docs"
undocumented=$(sed -n 's/^| \(`[^`]*`\) |.*|  *|$/\1/p' "$work/README.md")
[[ -z $undocumented ]] || die "values.yaml says nothing of $(paste -sd' ' <<<"$undocumented")"

# --- every value does something: take it out of a set, and the rendering is another one, or refused by its name. What the
# schema gives no names to (affinity, annotations, ...) is one value. Helm is the reader of YAML, by a chart that prints it.
mkdir -p "$work/print/templates" "$work/sets"
printf 'apiVersion: v2\nname: print\nversion: 0.0.0\n' >"$work/print/Chart.yaml"
echo '{{ .Files.Get "set.yaml" | fromYaml | toJson }}' >"$work/print/templates/values.yaml"
json() { cp "$1" "$work/print/set.yaml"; "$HELM" template print "$work/print" | grep '^{'; }
for set in "${sets[@]}"; do
  name=$work/sets/$(basename "$set" .yaml)
  json "$set" >"$name.json"
  render -f "$name.json" >"$name.rendered"
  diff <(render -f "$set") "$name.rendered" >&2 || die "${set#"$root/"} renders otherwise as JSON"
done
does_something() { # PATH
  local set without=$work/without
  for set in "$work"/sets/*.json; do
    jq -e --argjson path "$1" 'any(paths; . == $path)' "$set" >/dev/null || continue
    jq --argjson path "$1" 'delpaths([$path])' "$set" >"$without.json"
    if render -f "$without.json" >"$without.rendered" 2>"$without.error"; then
      ! cmp -s "$without.rendered" "${set%.json}.rendered" || continue
      return 0
    elif grep -qwF -- "$(jq -r 'last' <<<"$1")" "$without.error"; then
      return 0
    fi
  done
  return 1
}
# shellcheck disable=SC2016 # the dollars are jq's
leaves='def leaves($schema):
  ($schema | if has("$ref") then $root[0].definitions[."$ref" | ltrimstr("#/definitions/")] else . end) as $schema
  | if type == "object" and length > 0 and ($schema | has("properties"))
    then to_entries[] | .key as $key | .value | leaves($schema.properties[$key]) | [$key] + . else [] end;
  leaves($root[0])'
json "$chart/values.yaml" | jq -c --slurpfile root "$chart/values.schema.json" "$leaves" >"$work/leaves"
values=0
while IFS= read -r leaf; do
  does_something "$leaf" || die "no set of ci/ shows what the value $(jq -r 'join(".")' <<<"$leaf") does"
  values=$((values + 1))
done <"$work/leaves"
((values > 0)) || die "values.yaml has no values"

# --- what is refused, and in which words
refused=0
refuses() { # VALUES WORDS
  ! render --set "$1" >/dev/null 2>"$work/error" || die "the chart takes $1"
  grep -qF -- "$2" "$work/error" || die "the chart refuses $1 without saying \"$2\": $(cat "$work/error")"
  refused=$((refused + 1))
}
refuses nonsense=1 "additional properties 'nonsense' not allowed"
refuses metrics.service.prot=80 "at '/metrics/service': additional properties 'prot' not allowed"
refuses image.digest=latest "at '/image/digest': 'latest' does not match pattern"
refuses timeouts.create=30 "at '/timeouts/create': got number, want string"
refuses timeouts.delivery=1d "at '/timeouts/delivery': '1d' does not match pattern"
refuses log.format=xml "at '/log/format': value must be one of 'json', 'text'"
refuses 'allowedHosts={https://c1.example.com}' "at '/allowedHosts/0'"
refuses listen=8080 "at '/listen'"
refuses concurrency=0 "at '/concurrency': minimum: got 0, want 1"
refuses 'clusterName=a b' "at '/clusterName'"
refuses 'watchNamespaces={Team A}' "at '/watchNamespaces/0': 'Team A' does not match pattern"
refuses replicaCount=-1 "at '/replicaCount': minimum: got -1, want 0"
refuses strategy.type=OnDelete "at '/strategy/type': value must be one of 'RollingUpdate', 'Recreate'"
refuses podDisruptionBudget.maxUnavailable=half "at '/podDisruptionBudget/maxUnavailable': 'half' does not match pattern"
refuses networkPolicy.egress.dns=true "at '/networkPolicy/egress': got object, want array"
refuses serviceMonitor.renderMode=failIfMissing "at '/serviceMonitor/renderMode': value must be one of 'skipIfMissing', 'alwaysRender'"
refuses leaderElection.renewDeadline=15s "leaderElection.renewDeadline (15s) must be less than leaseDuration (15s)"
refuses leaderElection.retryPeriod=10s "leaderElection.retryPeriod (10s) must be less than renewDeadline (10s)"
issuer=defaultIssuer.enabled=true
refuses $issuer,defaultIssuer.tenantDomain=acme "at '/defaultIssuer/secretName': minLength: got 0, want 1"
refuses $issuer,defaultIssuer.secretName=a "at '/defaultIssuer/tenantDomain': minLength: got 0, want 1"
refuses $issuer,defaultIssuer.secretName=a "at '/defaultIssuer/url': minLength: got 0, want 1"
refuses $issuer,defaultIssuer.secretName=a,defaultIssuer.tenantDomain=acme,defaultIssuer.url=https://c1.example.com \
  "at '/defaultIssuer/url': maxLength: got 22, want 0"
refuses defaultIssuer.url=http://c1.example.com "at '/defaultIssuer/url': 'http://c1.example.com' does not match pattern"
refuses defaultIssuer.policy.allowed.everything=true "additional properties 'everything' not allowed"

# --- as a part of another chart, whose values reach this one
mkdir -p "$work/parent/charts"
cp -r "$chart" "$work/parent/charts/"
cat >"$work/parent/Chart.yaml" <<YAML
apiVersion: v2
name: parent
version: 0.0.0
dependencies: [{name: c1-operator, version: "*", condition: c1-operator.enabled}]
YAML
cat >"$work/parent/values.yaml" <<YAML
global: {imagePullSecrets: [by-name], domain: example.com}
c1-operator:
  enabled: true
  imagePullSecrets: [{name: own}]
YAML
"$HELM" template parent "$work/parent" >"$work/parent.yaml"
grep -A2 imagePullSecrets: "$work/parent.yaml" | grep -o 'name: .*' | diff - <(printf 'name: by-name\nname: own\n') >&2 ||
  die "image pull secrets of a parent chart"

# --- every rendering, taken by the API server, which does not know the kinds of the Prometheus operator
"$KUBECTL" create namespace "$ns" >/dev/null
"$KUBECTL" label namespace "$ns" pod-security.kubernetes.io/{warn,enforce}=restricted >/dev/null
accepted=0
for set in "${sets[@]}"; do
  render -f "$set" --set serviceMonitor.renderMode=skipIfMissing,prometheusRule.renderMode=skipIfMissing >"$work/rendered.yaml"
  accepts "$work/rendered.yaml" >"$work/out" || die "not accepted: the chart with ${set#"$root/"}"
  say "$(printf '%-24s %2d objects' "${set##*/}" "$(wc -l <"$work/out")")"
  accepted=$((accepted + 1))
done

# --- the CRDs are what the operator generated: the template only adds labels and annotations
spec() { "$KUBECTL" create --dry-run=client --validate=false -o json -f "$1" | jq -S 'if .kind == "List" then .items[] else . end | {name: .metadata.name, spec}'; }
render -s templates/crds.yaml >"$work/crds.yaml"
diff <(spec "$work/crds.yaml") <(for f in "${crds[@]}"; do spec "$f"; done) >&2 || die "templates/crds.yaml changes a CRD"

# --- as plain manifests: the Namespace, the CRDs, and then what Helm makes
objects() { "$KUBECTL" create --dry-run=client --validate=false -o json -f "$1" | jq -r 'if .kind == "List" then .items[] else . end | "\(.kind) \(.metadata.name) \(.metadata.namespace)"'; }
"$here/manifests.sh" >"$work/plain.yaml"
"$HELM" template c1-operator "$chart" --namespace $namespace >"$work/helm.yaml"
objects "$work/plain.yaml" >"$work/plain"
diff <({ echo "Namespace $namespace null"; objects "$work/helm.yaml"; } | sort) <(sort "$work/plain") >&2 || die "manifests.sh makes something else than Helm"
[[ $(head -n $((${#crds[@]} + 1)) "$work/plain" | cut -d' ' -f1 | uniq -c | xargs) == "1 Namespace ${#crds[@]} CustomResourceDefinition" ]] ||
  die "manifests.sh does not begin with the Namespace and the CRDs"

# --- a release. Where other suites were here before, their CRDs become its own.
deploy() { "$HELM" upgrade --install "$release" "$chart" --namespace "$ns" --take-ownership --force-conflicts "$@" >"$work/helm.out" 2>&1 || die "helm upgrade $*: $(cat "$work/helm.out")"; }
plurals=(personalclients clientissuers clusterclientissuers)
crd_names=("${plurals[@]/%/.iam.conductor.one}")
deploy
"$KUBECTL" wait --for=condition=Established --timeout=30s crd "${crd_names[@]}" >/dev/null
served() { for plural in "${plurals[@]}"; do "$KUBECTL" get "$plural.iam.conductor.one" --all-namespaces; done; }
await 30 "the kinds of the CRDs" served

# What NOTES.txt tells people to apply, and the issuer that the operator applies, are right.
manifests() { awk '/<<EOF$/ {on = 1; next} /^  EOF$/ {on = 0; print "---"} on {print substr($0, 3)}'; }
notes() { "$HELM" install "$release-notes" "$chart" --namespace "$ns" --dry-run=client "$@" | sed '1,/^NOTES:$/d'; }
for set in "${sets[@]}"; do
  notes -f "$set" >"$work/notes"
  grep -q 'kubectl -n .* rollout status' "$work/notes" || die "no notes with ${set#"$root/"}"
  manifests <"$work/notes" >"$work/notes.yaml"
  grep -q '^kind: PersonalClient$' "$work/notes.yaml" || die "the notes with ${set#"$root/"} show no PersonalClient"
  accepts "$work/notes.yaml" --namespace "$ns" >/dev/null || die "the notes with ${set#"$root/"} tell people to apply what is refused"
  if ! jq -e '.defaultIssuer.enabled' "$work/sets/$(basename "$set" .yaml).json" >/dev/null; then
    grep -q '^kind: ClusterClientIssuer$' "$work/notes.yaml" || die "the notes with ${set#"$root/"} show no issuer"
    continue
  fi
  render -f "$set" -s templates/default-issuer.yaml >"$work/configmap.yaml"
  "$KUBECTL" create --dry-run=client -o json -f "$work/configmap.yaml" | jq -re '.data["issuer.yaml"]' >"$work/issuer.yaml"
  accepts "$work/issuer.yaml" >/dev/null || die "defaultIssuer of ${set#"$root/"} is refused"
done
notes -f "$chart/ci/default-issuer.yaml" | grep -q 'clusterclientissuer/default$' || die "the notes do not say how to wait for the default issuer"
notes --set serviceMonitor.enabled=true | grep -q 'serviceMonitor.enabled is true, but' || die "the notes do not say that the ServiceMonitor is left out"

# What people made stays through upgrades, an uninstall and a new installation.
notes | manifests | sed "s/name: default}/name: $ns}/" | "$KUBECTL" apply --namespace "$ns" -f - >/dev/null
uids() {
  "$KUBECTL" get crd "${crd_names[@]}" -o jsonpath='{range .items[*]}{.metadata.name} {.metadata.uid}{"\n"}{end}' &&
    "$KUBECTL" --namespace "$ns" get "clusterclientissuer/$ns" personalclient/my-client -o jsonpath='{range .items[*]}{.kind} {.metadata.uid}{"\n"}{end}'
}
uids >"$work/before"
stays() { diff "$work/before" <(uids) >&2 || die "CRDs, or what was made of them, did not outlive $1"; }
deploy --values "$chart/ci/everything.yaml"
stays "an upgrade"
deploy --set crds.enabled=false
stays "an upgrade to crds.enabled=false"
"$HELM" uninstall "$release" --namespace "$ns" >/dev/null 2>&1
stays "helm uninstall"
left=$("$KUBECTL" get deployment,service,serviceaccount,configmap,role,rolebinding,clusterrole,clusterrolebinding,networkpolicy,poddisruptionbudget \
  --namespace "$ns" -l app.kubernetes.io/instance="$release" -o name)
[[ -z $left ]] || die "helm uninstall leaves $(paste -sd' ' <<<"$left")"
"$HELM" install "$release" "$chart" --namespace "$ns" >"$work/helm.out" 2>&1 || die "a new installation on the CRDs that were left: $(cat "$work/helm.out")"
stays "a new installation"

say "$values values, each shown by a set; $refused wrong ones refused; CRDs unchanged, and kept by upgrade and uninstall"
echo "$accepted renderings accepted"
