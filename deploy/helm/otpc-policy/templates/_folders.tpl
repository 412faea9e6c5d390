{{/*
Folders of a role under /etc/otpc-policy, as a list under "folders": name, and the source of a
volume. All are mounted whole: a file that is mounted with subPath is never updated.
*/}}
{{- define "otpc.folders" -}}
{{- $root := .root -}}{{- $v := .root.Values -}}{{- $name := include "otpc.fullname" .root -}}
{{- $folders := list (dict "name" "config" "source" (dict "configMap" (dict "name" (printf "%s-%s" $name .role)))) -}}
{{- if eq .role "front" -}}
{{- range $each := list "partners" "policies" "roles" -}}
{{- $given := index $v $each -}}
{{- if eq (include "otpc.given" $given) "yes" -}}
{{- $folders = append $folders (dict "name" $each "source" (include "otpc.documents" (dict "given" $given "name" (printf "%s-%s" $name $each)) | fromJson)) -}}
{{- end -}}
{{- end -}}
{{- if not $v.front.dangerouslyListenWithoutTls -}}
{{- $folders = append $folders (dict "name" "tls" "source" (include "otpc.keys" (dict "root" $root "given" $v.front.tls "made" (printf "%s-front-tls" $name) "value" "front.tls") | fromJson)) -}}
{{- if eq (include "otpc.given" $v.front.callerCA) "yes" -}}
{{- $folders = append $folders (dict "name" "caller-ca" "source" (include "otpc.documents" (dict "given" $v.front.callerCA "name" "") | fromJson)) -}}
{{- end -}}
{{- end -}}
{{- if eq (include "otpc.usesEngines" $root) "yes" -}}
{{- $folders = append $folders (dict "name" "engine-tls" "source" (include "otpc.keys" (dict "root" $root "given" $v.front.engineTls "made" (printf "%s-front-engine-tls" $name) "value" "front.engineTls") | fromJson)) -}}
{{- end -}}
{{- if eq (include "otpc.sharesStore" $root) "yes" -}}
{{- range $each := (include "otpc.fleetFolders" $root | fromJson).folders -}}
{{- $folders = append $folders $each -}}
{{- end -}}
{{- end -}}
{{- else -}}
{{- $folders = append $folders (dict "name" "tls" "source" (include "otpc.keys" (dict "root" $root "given" $v.engine.tls "made" (printf "%s-engine-tls" $name) "value" "engine.tls") | fromJson)) -}}
{{- end -}}
{{- if eq .role (include "otpc.measuring" $root) -}}
{{- range $partner, $each := $v.clientCertificates -}}
{{- $folders = append $folders (dict "name" (printf "client-certificates/%s" $partner) "source" (include "otpc.secret" $each.existingSecret | fromJson)) -}}
{{- end -}}
{{- with $v.egressProxy -}}
{{- if and .url .user -}}
{{- $secret := required "egressProxy.existingSecret: the Secret with the password of egressProxy.user" .existingSecret -}}
{{- $folders = append $folders (dict "name" "egress-proxy" "source" (include "otpc.secret" $secret | fromJson)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $folder, $source := (index $v .role).folders -}}
{{- $folders = append $folders (dict "name" $folder "source" $source) -}}
{{- end -}}
{{- toJson (dict "folders" $folders) -}}
{{- end -}}

{{/* The folders of what reaches the store, as a list under "folders". */}}
{{- define "otpc.fleetFolders" -}}
{{- $fleet := .Values.fleet -}}
{{- if eq (include "otpc.given" $fleet.key) "no" -}}
{{- fail "fleet.key: a Secret (existingSecret) or a volume with the file key, which signs what fronts share" -}}
{{- end -}}
{{- $folders := list (dict "name" "fleet-key" "source" (include "otpc.documents" (dict "given" $fleet.key "name" "") | fromJson)) -}}
{{- range $each := list (dict "user" "user" "password" "password" "folder" "fleet-password") (dict "user" "sentinelUser" "password" "sentinelPassword" "folder" "fleet-sentinel-password") -}}
{{- $given := index $fleet $each.password -}}
{{- if eq (include "otpc.given" $given) "yes" -}}
{{- $folders = append $folders (dict "name" $each.folder "source" (include "otpc.documents" (dict "given" $given "name" "") | fromJson)) -}}
{{- else if index $fleet $each.user -}}
{{- fail (printf "fleet.%s: a Secret (existingSecret) or a volume with the file password, for fleet.%s" $each.password $each.user) -}}
{{- end -}}
{{- end -}}
{{- if eq (include "otpc.given" $fleet.ca) "yes" -}}
{{- $folders = append $folders (dict "name" "fleet-ca" "source" (include "otpc.documents" (dict "given" $fleet.ca "name" "") | fromJson)) -}}
{{- end -}}
{{- toJson (dict "folders" $folders) -}}
{{- end -}}

{{/* A Secret that its group may read: the service refuses a key that everyone may. */}}
{{- define "otpc.secret" -}}
{{- toJson (dict "secret" (dict "secretName" . "defaultMode" 0440)) -}}
{{- end -}}

{{- define "otpc.keys" -}}
{{- if .given.volume -}}
{{- toJson .given.volume -}}
{{- else if .given.existingSecret -}}
{{- include "otpc.secret" .given.existingSecret -}}
{{- else if .root.Values.certManager.enabled -}}
{{- include "otpc.secret" .made -}}
{{- else -}}
{{- fail (printf "%s: name a Secret (existingSecret) or a volume, or enable certManager" .value) -}}
{{- end -}}
{{- end -}}

{{- define "otpc.documents" -}}
{{- if .given.volume -}}
{{- toJson .given.volume -}}
{{- else if .given.existingSecret -}}
{{- include "otpc.secret" .given.existingSecret -}}
{{- else -}}
{{- toJson (dict "configMap" (dict "name" (.given.existingConfigMap | default .name))) -}}
{{- end -}}
{{- end -}}
