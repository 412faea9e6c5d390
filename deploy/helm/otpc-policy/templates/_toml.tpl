{{/*
Values as TOML. Not toToml: numbers of values are floats, which it writes as 4096.0 and 6.7e+07.
JSON's scalars are TOML's. Tables are written inline, below a top level of "key = value".
*/}}
{{- define "otpc.toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- range $i, $key := keys . | sortAlpha }}{{ if $i }},{{ end }} {{ toJson $key }} = {{ include "otpc.toml.value" (index $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{- range $i, $each := . }}{{ if $i }}, {{ end }}{{ include "otpc.toml.value" $each }}{{ end -}}]
{{- else -}}
{{ toJson . }}
{{- end -}}
{{- end -}}

{{- define "otpc.toml" -}}
{{- range $key := keys . | sortAlpha }}
{{- if not (kindIs "invalid" (index $ $key)) }}
{{ $key }} = {{ include "otpc.toml.value" (index $ $key) }}
{{- end }}
{{- end }}
{{- end -}}
