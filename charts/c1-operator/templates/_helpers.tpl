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
app.kubernetes.io/instance: {{ .Release.Name }}
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
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{/* Seconds of a duration such as 1h2m3s (values.schema.json sees to its form). */}}
{{- define "c1-operator.seconds" -}}
{{- $h := regexFind "[0-9]+h" . | trimSuffix "h" | int -}}
{{- $m := regexFind "[0-9]+m" . | trimSuffix "m" | int -}}
{{- $s := regexFind "[0-9]+s" . | trimSuffix "s" | int -}}
{{ add (mul $h 3600) (mul $m 60) $s }}
{{- end }}
