{{- define "otpc.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "otpc.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "otpc.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "otpc.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that select. Argument: root, role. */}}
{{- define "otpc.selector" -}}
app.kubernetes.io/name: {{ include "otpc.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "otpc.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{ include "otpc.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "otpc.serviceAccount" -}}
{{- $role := index .root.Values .role -}}
{{- $role.serviceAccount.name | default (printf "%s-%s" (include "otpc.fullname" .root) .role) -}}
{{- end -}}

{{/* The name that engines are found by and must prove. */}}
{{- define "otpc.engineHost" -}}
{{ include "otpc.fullname" . }}-engine.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end -}}

{{/* Roles that run, as a list under "roles". */}}
{{- define "otpc.roles" -}}
roles: {{ if .Values.allInOne }}[front]{{ else }}[front, engine]{{ end }}
{{- end -}}

{{/* Whether fronts use engines in other pods: yes or no. */}}
{{- define "otpc.usesEngines" -}}
{{ if or (not .Values.allInOne) .Values.perspectives }}yes{{ else }}no{{ end }}
{{- end -}}

{{/* Whether fronts share a store: yes or no. */}}
{{- define "otpc.sharesStore" -}}
{{ if or .Values.fleet.url .Values.fleet.urls }}yes{{ else }}no{{ end }}
{{- end -}}

{{/* The role that measures. */}}
{{- define "otpc.measuring" -}}
{{ if .Values.allInOne }}front{{ else }}engine{{ end }}
{{- end -}}

{{- define "otpc.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}
