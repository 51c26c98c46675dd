#!/usr/bin/env bash
# chart-check.sh - render charts/c1-operator with each value set in its ci/, and have a real API server ($KUBECONFIG) take
# every object, strictly and without a warning, also not of the restricted pod security standard. Also: the value sets
# together use every value, wrong values are refused, and the CRDs reach the cluster as they were generated.
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
[[ -n ${KUBECONFIG:-} ]] || die "no KUBECONFIG: tests/controlplane/run.sh $0"
programs
work=$(mktemp -d)
ns=chart-check-$$
finish() { "$KUBECTL" delete namespace "$ns" --wait=false --ignore-not-found >/dev/null 2>&1 || true; rm -rf -- "$work"; }
trap finish EXIT

render() { "$HELM" template c1-operator "$chart" --namespace "$ns" "$@"; }

shopt -s nullglob
crds=("$chart"/files/crds/*.yaml)
((${#crds[@]} > 0)) || die "no CRDs in the chart: make crds"
diff -r "$root/crds" "$chart/files/crds" >&2 || die "the chart's CRDs are not those of crds/: make crds"

# --- every value is used by some set. Helm itself is the reader of YAML here, by a chart that prints its values.
mkdir -p "$work/print/templates"
printf 'apiVersion: v2\nname: print\nversion: 0.0.0\n' >"$work/print/Chart.yaml"
echo '{{ toJson .Values }}' >"$work/print/templates/values.yaml"
json() { "$HELM" template print "$work/print" -f "$1" | grep '^{'; }
leaves='[paths(type != "object" or length == 0) | select(all(.[]; type == "string")) | join(".")] | .[]'
json "$chart/values.yaml" | jq -r "$leaves" | sort >"$work/all"
sets=("$chart"/ci/*.yaml)
for set in "${sets[@]}"; do
  json "$set" | jq -r '[paths | select(all(.[]; type == "string")) | join(".")] | .[]'
done | sort -u >"$work/used"
unused=$(comm -23 "$work/all" "$work/used")
[[ -z $unused ]] || die "no value set of ci/ uses: $(paste -sd' ' <<<"$unused")"

# --- what the schema must refuse
refused=0
for wrong in nonsense=1 timeouts.create=30 timeouts.delivery=1d image.digest=latest log.format=xml \
  'allowedHosts={https://c1.example.com}' listen=8080 concurrency=0 'clusterName=a b'; do
  ! render --set "$wrong" >/dev/null 2>&1 || die "values.schema.json lets $wrong through"
  refused=$((refused + 1))
done
render --set global.a=1,enabled=true >/dev/null || die "values.schema.json does not let through what a parent chart passes"

# --- every rendering, taken by the API server
"$KUBECTL" create namespace "$ns" >/dev/null
"$KUBECTL" label namespace "$ns" pod-security.kubernetes.io/{warn,enforce}=restricted >/dev/null
accepted=0
for set in "${sets[@]}"; do
  render -f "$set" >"$work/rendered.yaml"
  "$KUBECTL" apply --dry-run=server --validate=strict --warnings-as-errors -f "$work/rendered.yaml" >"$work/out" ||
    die "not accepted: the chart with ${set#"$root/"}"
  say "$(printf '%-24s %2d objects' "${set##*/}" "$(wc -l <"$work/out")")"
  accepted=$((accepted + 1))
done

# --- the CRDs are what the operator generated: the template only adds labels and annotations
spec() { "$KUBECTL" create --dry-run=client --validate=false -o json -f "$1" | jq -S 'if .kind == "List" then .items[] else . end | {name: .metadata.name, spec}'; }
render -s templates/crds.yaml >"$work/crds.yaml"
diff <(spec "$work/crds.yaml") <(for f in "${crds[@]}"; do spec "$f"; done) >&2 || die "templates/crds.yaml changes a CRD"

say "$refused wrong values refused, every value used by a set, CRDs unchanged"
echo "$accepted renderings accepted"
