#!/usr/bin/env bash
# manifests.sh [HELM-ARGUMENTS] - print what `helm install c1-operator charts/c1-operator -n c1-system` would make, as plain
# manifests for kubectl: the Namespace first, then the CRDs, then all else. Arguments go to `helm template`: --set, --values.
set -euo pipefail
# shellcheck source=tests/dev/lib.sh
. "$(dirname "$(readlink -f "$0")")/lib.sh"
"$controlplane/tools/build.sh" "$target/tools"

rendered=$("$target/tools/helm" template c1-operator "$chart" --namespace $namespace "$@")
printf -- '---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: %s\n' $namespace
awk '
  /^---$/ {n++}
  {document[n] = document[n] $0 "\n"}
  /^# Source: .*\/crds\.yaml$/ {first[n] = 1}
  END {
    for (i = 0; i <= n; i++) if (first[i]) printf "%s", document[i]
    for (i = 0; i <= n; i++) if (!first[i]) printf "%s", document[i]
  }' <<<"$rendered"
