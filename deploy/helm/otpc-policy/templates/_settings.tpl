{{/* What the chart itself sets, beside what the operator sets. Settings that both set are refused. */}}
{{- define "otpc.settings" -}}
{{- $role := index .root.Values .role -}}
{{- $own := include (printf "otpc.settings.%s" .role) .root | fromJson -}}
{{- range $name, $_ := $own -}}
{{- if hasKey $role.settings $name -}}
{{- fail (printf "%s.settings.%s: the chart sets it from other values (docs/kubernetes.md)" $.role $name) -}}
{{- end -}}
{{- end -}}
{{- include "otpc.toml" (merge (dict) $own $role.settings) | trim -}}
{{- end -}}

{{- define "otpc.settings.front" -}}
{{- $set := include "otpc.settings.shared" (dict "root" . "role" "front") | fromJson -}}
{{- $v := .Values -}}
{{- $_ := set $set "listen" (printf "%s:50051" $v.listenHost) -}}
{{- $_ := set $set "ops_listen" (printf "%s:9464" $v.listenHost) -}}
{{- $_ := set $set "drain_delay_s" $v.front.drain.delaySeconds -}}
{{- if $v.front.dangerouslyListenWithoutTls -}}
{{- $_ := set $set "dangerously_listen_without_tls" true -}}
{{- else -}}
{{- $_ := set $set "tls_certificate_file" "/etc/otpc-policy/tls/tls.crt" -}}
{{- $_ := set $set "tls_key_file" "/etc/otpc-policy/tls/tls.key" -}}
{{- if not $v.front.settings.dangerously_admit_anyone_over_tls -}}
{{- $_ := set $set "tls_client_ca_file" (printf "/etc/otpc-policy/%s/ca.crt" (ternary "caller-ca" "tls" (eq (include "otpc.given" $v.front.callerCA) "yes"))) -}}
{{- end -}}
{{- end -}}
{{- range $name, $setting := dict "partners" "partners_dir" "policies" "policies_dir" -}}
{{- if eq (include "otpc.given" (index $v $name)) "yes" -}}
{{- $_ := set $set $setting (printf "/etc/otpc-policy/%s" $name) -}}
{{- end -}}
{{- end -}}
{{- if eq (include "otpc.given" $v.roles) "yes" -}}
{{- $_ := set $set "roles_file" "/etc/otpc-policy/roles/roles.toml" -}}
{{- end -}}
{{- if not $v.allInOne -}}
{{- $_ := set $set "engine_addresses" (list (printf "dns:///%s:50052" (include "otpc.engineHost" .))) -}}
{{- end -}}
{{- if eq (include "otpc.usesEngines" .) "yes" -}}
{{- $_ := set $set "engine_certificate_file" "/etc/otpc-policy/engine-tls/tls.crt" -}}
{{- $_ := set $set "engine_key_file" "/etc/otpc-policy/engine-tls/tls.key" -}}
{{- $_ := set $set "engine_ca_file" "/etc/otpc-policy/engine-tls/ca.crt" -}}
{{- end -}}
{{- if $v.perspectives -}}
{{- $places := dict -}}
{{- range $name, $each := $v.perspectives -}}
{{- $_ := set $places $name (dict "engine_addresses" $each.engineAddresses) -}}
{{- end -}}
{{- $_ := set $set "perspectives" $places -}}
{{- end -}}
{{- if $v.defaultPerspective -}}{{- $_ := set $set "default_perspective" $v.defaultPerspective -}}{{- end -}}
{{- if eq (include "otpc.sharesStore" .) "yes" -}}{{- $_ := set $set "fleet" (include "otpc.settings.fleet" . | fromJson) -}}{{- end -}}
{{- if $v.watch -}}{{- $_ := set $set "watch" $v.watch -}}{{- end -}}
{{- toJson $set -}}
{{- end -}}

{{- define "otpc.settings.engine" -}}
{{- $set := include "otpc.settings.shared" (dict "root" . "role" "engine") | fromJson -}}
{{- $_ := set $set "tls_certificate_file" "/etc/otpc-policy/tls/tls.crt" -}}
{{- $_ := set $set "tls_key_file" "/etc/otpc-policy/tls/tls.key" -}}
{{- $_ := set $set "tls_client_ca_file" "/etc/otpc-policy/tls/ca.crt" -}}
{{- toJson $set -}}
{{- end -}}

{{/* The table [fleet]: what the chart sets, beside fleet.settings. */}}
{{- define "otpc.settings.fleet" -}}
{{- $fleet := .Values.fleet -}}
{{- $set := dict "key_file" "/etc/otpc-policy/fleet-key/key" -}}
{{- range $name, $value := dict "url" $fleet.url "urls" $fleet.urls "mode" $fleet.mode "primary_name" $fleet.primaryName "user" $fleet.user "sentinel_user" $fleet.sentinelUser -}}
{{- if $value -}}{{- $_ := set $set $name $value -}}{{- end -}}
{{- end -}}
{{- if eq (include "otpc.given" $fleet.password) "yes" -}}{{- $_ := set $set "password_file" "/etc/otpc-policy/fleet-password/password" -}}{{- end -}}
{{- if eq (include "otpc.given" $fleet.sentinelPassword) "yes" -}}{{- $_ := set $set "sentinel_password_file" "/etc/otpc-policy/fleet-sentinel-password/password" -}}{{- end -}}
{{- if eq (include "otpc.given" $fleet.ca) "yes" -}}{{- $_ := set $set "ca_file" "/etc/otpc-policy/fleet-ca/ca.crt" -}}{{- end -}}
{{- if $fleet.dangerouslyUseStoreWithoutTls -}}{{- $_ := set $set "dangerously_use_store_without_tls" true -}}{{- end -}}
{{- range $name, $_ := $fleet.settings -}}
{{- if hasKey $set $name -}}
{{- fail (printf "fleet.settings.%s: the chart sets it from other values (docs/kubernetes.md)" $name) -}}
{{- end -}}
{{- end -}}
{{- toJson (merge $set $fleet.settings) -}}
{{- end -}}

{{/* What holds for both, and what only the role that measures is given. */}}
{{- define "otpc.settings.shared" -}}
{{- $v := .root.Values -}}
{{- $set := dict "drain_grace_s" (index $v .role).drain.graceSeconds -}}
{{- if $v.allowNetworks -}}{{- $_ := set $set "allow_networks" $v.allowNetworks -}}{{- end -}}
{{- if $v.perspective -}}{{- $_ := set $set "perspective" $v.perspective -}}{{- end -}}
{{- if eq .role (include "otpc.measuring" .root) -}}
{{- if $v.egressProxy.url -}}
{{- $_ := set $set "egress_proxy" $v.egressProxy.url -}}
{{- if $v.egressProxy.user -}}
{{- $_ := set $set "egress_proxy_user" $v.egressProxy.user -}}
{{- $_ := set $set "egress_proxy_password_file" (printf "/etc/otpc-policy/egress-proxy/%s" $v.egressProxy.passwordKey) -}}
{{- end -}}
{{- end -}}
{{- if $v.clientCertificates -}}
{{- $all := dict -}}
{{- range $partner, $each := $v.clientCertificates -}}
{{- $folder := printf "/etc/otpc-policy/client-certificates/%s" $partner -}}
{{- $_ := set $all $partner (dict "hosts" $each.hosts "certificate_file" (printf "%s/tls.crt" $folder) "key_file" (printf "%s/tls.key" $folder)) -}}
{{- end -}}
{{- $_ := set $set "client_certificates" $all -}}
{{- end -}}
{{- end -}}
{{- toJson $set -}}
{{- end -}}

{{/* Whether a source of a folder is given at all: yes or no. */}}
{{- define "otpc.given" -}}
{{- if or .existingSecret .existingConfigMap .volume .files -}}yes{{- else -}}no{{- end -}}
{{- end -}}
