{{/* Parts of the topology operator's resources. */}}

{{/* (list root name): names of the broker have dots and may be long, those of Kubernetes may not. */}}
{{- define "antispoofd.topologyMeta" -}}
{{- $name := include "antispoofd.objectName" (printf "%s-%s" (include "antispoofd.fullname" (index . 0)) (index . 1)) -}}
{{- include "antispoofd.meta" (list (index . 0) $name dict dict) }}
{{- end -}}

{{- define "antispoofd.objectName" -}}
{{- $name := regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trimAll "-" -}}
{{- if gt (len $name) 63 -}}
{{- printf "%s-%s" (trunc 54 $name | trimSuffix "-") (sha256sum . | trunc 8) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "antispoofd.topologyBroker" -}}
vhost: {{ include "antispoofd.vhost" (list . "") | quote }}
rabbitmqClusterReference:
  {{- toYaml .Values.rabbitmq.clusterReference | nindent 2 }}
{{- end -}}

{{/* (list root name) */}}
{{- define "antispoofd.topologySpec" -}}
name: {{ index . 1 | quote }}
{{ include "antispoofd.topologyBroker" (index . 0) }}
{{- end -}}

{{/* (list root name arguments dead-letters-to) */}}
{{- define "antispoofd.topologyQueue" }}
{{- $root := index . 0 }}
{{- $arguments := deepCopy (index . 2) }}
{{- with index . 3 }}
{{- $internal := printf "%s.internal" (include "antispoofd.prefix" $root) }}
{{- $arguments = merge $arguments (dict "x-dead-letter-exchange" $internal "x-dead-letter-routing-key" . "x-dead-letter-strategy" "at-least-once" "x-overflow" "reject-publish") }}
{{- end }}
apiVersion: rabbitmq.com/v1beta1
kind: Queue
metadata:
  {{- include "antispoofd.topologyMeta" (list $root (index . 1)) | nindent 2 }}
spec:
  {{- include "antispoofd.topologySpec" (list $root (index . 1)) | nindent 2 }}
  type: quorum
  durable: true
  autoDelete: false
  # Jobs outlive the resource.
  deletionPolicy: retain
  {{- with $arguments }}
  arguments:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
