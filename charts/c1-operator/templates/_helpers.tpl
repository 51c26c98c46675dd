{{- define "c1-operator.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "c1-operator.fullname" -}}
{{- $name := include "c1-operator.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "c1-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "c1-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* A dictionary, merged where an object brings labels of its own: keys of the chart win over commonLabels. */}}
{{- define "c1-operator.labels" -}}
{{- $own := include "c1-operator.selectorLabels" . | fromYaml -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $own "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- toYaml (merge $own .Values.commonLabels) }}
{{- end }}

{{- define "c1-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "c1-operator.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "c1-operator.image" -}}
{{- with .Values.image -}}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository -}}
{{- if .digest -}}
@{{ .digest }}
{{- else -}}
:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* Those of a parent chart may be plain names. */}}
{{- define "c1-operator.imagePullSecrets" -}}
{{- $secrets := list -}}
{{- range concat (default list .Values.global.imagePullSecrets) .Values.imagePullSecrets -}}
{{- $secrets = append $secrets (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- with uniq $secrets }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Seconds of a duration such as 1h2m3s (values.schema.json sees to its form). */}}
{{- define "c1-operator.seconds" -}}
{{- $h := regexFind "[0-9]+h" . | trimSuffix "h" | int -}}
{{- $m := regexFind "[0-9]+m" . | trimSuffix "m" | int -}}
{{- $s := regexFind "[0-9]+s" . | trimSuffix "s" | int -}}
{{ add (mul $h 3600) (mul $m 60) $s }}
{{- end }}

{{/* Whether the objects of a section of the values are made, that need the Prometheus operator: "true", or nothing. */}}
{{- define "c1-operator.monitoring" -}}
{{- $section := index .root.Values .section -}}
{{- if and $section.enabled (or (eq $section.renderMode "alwaysRender") (.root.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
true
{{- end }}
{{- end }}

{{/* What values.schema.json cannot say. */}}
{{- define "c1-operator.validate" -}}
{{- with .Values.leaderElection -}}
{{- $lease := include "c1-operator.seconds" .leaseDuration | int -}}
{{- $deadline := include "c1-operator.seconds" .renewDeadline | int -}}
{{- $retry := include "c1-operator.seconds" .retryPeriod | int -}}
{{- if ge $deadline $lease }}
{{- fail (printf "leaderElection.renewDeadline (%s) must be less than leaseDuration (%s): two pods would work at once" .renewDeadline .leaseDuration) }}
{{- end }}
{{- if or (ge $retry $deadline) (eq $retry 0) }}
{{- fail (printf "leaderElection.retryPeriod (%s) must be less than renewDeadline (%s), and not 0s" .retryPeriod .renewDeadline) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The ClusterClientIssuer that the operator applies. Without the release's labels: it is not the release's. */}}
{{- define "c1-operator.defaultIssuer" -}}
{{- with .Values.defaultIssuer -}}
apiVersion: iam.conductor.one/v1alpha1
kind: ClusterClientIssuer
metadata:
  name: {{ .name | quote }}
spec:
  {{- with .tenantDomain }}
  tenantDomain: {{ . | quote }}
  {{- end }}
  {{- with .url }}
  url: {{ . | quote }}
  {{- end }}
  {{- with .caBundle }}
  caBundle: {{ . | quote }}
  {{- end }}
  auth:
    oauth:
      secretRef:
        name: {{ .secretName | quote }}
  {{- $defaults := dict }}
  {{- range $key, $value := .defaults }}
  {{- if $value }}
  {{- $_ := set $defaults $key $value }}
  {{- end }}
  {{- end }}
  {{- with $defaults }}
  defaults:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  policy:
    {{- toYaml .policy | nindent 4 }}
{{- end }}
{{- end }}
