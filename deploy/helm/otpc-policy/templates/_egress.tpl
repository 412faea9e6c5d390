{{/* What fronts may connect to beside their own engines: the store, and engines at other places. */}}
{{- define "otpc.frontEgress" -}}
{{- with .Values.fleet -}}
{{- if eq (include "otpc.sharesStore" $) "yes" -}}
{{- if not .peers -}}{{- fail "fleet.peers: where the NetworkPolicy lets fronts reach the store" -}}{{- end -}}
{{- if and (eq .mode "sentinel") (not .ports) -}}{{- fail "fleet.ports: with sentinels, theirs and the primary's" -}}{{- end -}}
{{- $given := list -}}
{{- range $url := ternary (list .url) .urls (ne .url "") -}}
{{- $given = append $given (regexFind ":[0-9]+$" (regexReplaceAll "/[0-9]*$" $url "") | trimPrefix ":" | default "6379") -}}
{{- end -}}
- to: {{- toYaml .peers | nindent 4 }}
  ports:
    {{- range (.ports | default (uniq $given)) }}
    - { protocol: TCP, port: {{ int . }} }
    {{- end }}
{{ end -}}
{{- end -}}
{{- range $name, $each := .Values.perspectives -}}
{{- if not $each.peers -}}{{- fail (printf "perspectives.%s.peers: where the NetworkPolicy lets fronts reach these engines" $name) -}}{{- end -}}
- to: {{- toYaml $each.peers | nindent 4 }}
  ports:
    {{- $ports := list -}}
    {{- range $address := $each.engineAddresses -}}{{- $ports = append $ports (last (splitList ":" $address)) -}}{{- end -}}
    {{- range $port := uniq $ports }}
    - { protocol: TCP, port: {{ int $port }} }
    {{- end }}
{{ end -}}
{{- end -}}

{{/*
What whoever measures may connect to: the proxy alone if there is one, else the Internet without
what the service refuses to dial, and the ranges that it was allowed. Over TCP, to any port: which
ports may be measured is a setting of the service (shares.allowed_ports).
*/}}
{{- define "otpc.measuringEgress" -}}
{{- with .Values.egressProxy -}}
{{- if .url -}}
{{- if not .peers -}}{{- fail "egressProxy.peers: where the NetworkPolicy lets engines reach the proxy" -}}{{- end -}}
- to: {{- toYaml .peers | nindent 4 }}
  ports: [{ protocol: TCP, port: {{ last (splitList ":" (trimSuffix "/" .url)) | int }} }]
{{- end -}}
{{- end -}}
{{- if not .Values.egressProxy.url -}}
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except:
          {{- range (.Files.Lines "files/refused-networks.txt") }}
          {{- if and . (not (hasPrefix "#" .)) (not (contains ":" .)) }}
          - {{ . }}
          {{- end }}
          {{- end }}
    - ipBlock:
        # Global unicast; everything outside of it is refused as well.
        cidr: 2000::/3
        except:
          {{- range (.Files.Lines "files/refused-networks.txt") }}
          {{- if and . (not (hasPrefix "#" .)) (contains ":" .) }}
          - {{ . }}
          {{- end }}
          {{- end }}
    {{- range .Values.allowNetworks }}
    - ipBlock: { cidr: {{ . | quote }} }
    {{- end }}
  ports: [{ protocol: TCP }]
{{- end -}}
{{- end -}}
