{{- define "tagboat.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tagboat.fullname" -}}
{{- $name := include "tagboat.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- /* Of what belongs to the whole cluster: two releases in two namespaces must not share it. */}}
{{- define "tagboat.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace (include "tagboat.fullname" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "tagboat.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "tagboat.fullname" .) }}
{{- else -}}
{{ required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "tagboat.selector" -}}
app.kubernetes.io/name: {{ include "tagboat.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tagboat.labels" -}}
{{ include "tagboat.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "tagboat.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* The configuration: what follows from the chart's own values, and over it what is configured. */}}
{{- define "tagboat.config" -}}
{{- $listen := dict "probes" "0.0.0.0:8080" "localApi" "127.0.0.1:8081" -}}
{{- if .Values.api.enabled -}}
{{- $_ := set $listen "api" "0.0.0.0:8082" -}}
{{- end -}}
{{- $cluster := dict "namespace" .Release.Namespace -}}
{{- if eq .Values.rbac.profile "namespaced" -}}
{{- /* To change definitions is a right over the whole cluster; the chart has installed them. */}}
{{- $_ := set $cluster "installCrds" false -}}
{{- end -}}
{{- $config := dict "cache" "/var/cache/tagboat" "listen" $listen "cluster" $cluster -}}
{{- if .Values.secrets.registry -}}
{{- $_ := set $config "registries" (dict "dockerConfig" "/etc/tagboat/secrets/registry/config.json") -}}
{{- end -}}
{{- if .Values.secrets.slack -}}
{{- $_ := set $config "notify" (dict "slack" (dict "webhookFile" "/etc/tagboat/secrets/slack/webhook")) -}}
{{- end -}}
{{ toYaml (mustMergeOverwrite $config (deepCopy .Values.config)) }}
{{- end }}
