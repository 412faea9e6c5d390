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
