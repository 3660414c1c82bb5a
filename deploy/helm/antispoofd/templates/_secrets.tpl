{{/* Which secrets are mounted, and how the settings name them. */}}

{{/* setting → the value that says where it is. */}}
{{- define "antispoofd.secretSettings" -}}
{{- dict "amqp.url" "amqpUrl" "api.api_key" "apiKey" "api.secret" "apiSecret" "api.token" "apiToken" "ledger.url" "ledgerUrl" "log.hash_key" "logHashKey" | toJson -}}
{{- end -}}

{{- define "antispoofd.secretsPath" -}}/etc/antispoofd/secrets{{- end -}}

{{/* The Secret that holds what has no Secret of its own. */}}
{{- define "antispoofd.mainSecret" -}}
{{- if .Values.externalSecret.enabled -}}
{{- include "antispoofd.fullname" . -}}
{{- else -}}
{{- .Values.secrets.existingSecret -}}
{{- end -}}
{{- end -}}

{{/* The file of a secret in the pod: (list . "amqpUrl"). Named after the value, as two Secrets may use the same key. */}}
{{- define "antispoofd.secretFile" -}}
{{- printf "%s/%s" (include "antispoofd.secretsPath" (index . 0)) (index . 1 | kebabcase) -}}
{{- end -}}

{{/* Sources of the projected volume. */}}
{{- define "antispoofd.secretSources" -}}
{{- $main := include "antispoofd.mainSecret" . -}}
{{- range $name := list "amqpUrl" "apiKey" "apiSecret" "apiToken" "ledgerUrl" "logHashKey" "awsCredentials" -}}
{{- $secret := index $.Values.secrets $name -}}
{{- if $secret.key }}
- secret:
    name: {{ default $main $secret.existingSecret }}
    items:
      - key: {{ $secret.key | quote }}
        path: {{ $name | kebabcase }}
{{- end -}}
{{- end -}}
{{- end -}}
