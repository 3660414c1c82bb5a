{{/* Names and labels. */}}

{{- define "antispoofd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "antispoofd.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{/* The component keeps the test's pod out of what selects workers. */}}
{{- define "antispoofd.workerLabels" -}}
{{ include "antispoofd.selectorLabels" . }}
app.kubernetes.io/component: worker
{{- end -}}

{{/* What no value may replace. */}}
{{- define "antispoofd.ownLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "antispoofd.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* (list root own…): the chart's labels, and those of the maps; the first map that has a label is heard. */}}
{{- define "antispoofd.labels" -}}
{{- $root := first . -}}
{{- $labels := include "antispoofd.ownLabels" $root | fromYaml -}}
{{- range $own := rest . -}}
{{- $labels = merge $labels $own -}}
{{- end -}}
{{- merge $labels $root.Values.commonLabels (dict "app.kubernetes.io/part-of" "antispoofd") | toYaml -}}
{{- end -}}

{{/* (list root name labels annotations): metadata of an object. */}}
{{- define "antispoofd.meta" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
labels:
  {{- include "antispoofd.labels" (list $root (index . 2)) | nindent 2 }}
{{- with merge (deepCopy (index . 3)) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The metadata of an object that has the release's name. */}}
{{- define "antispoofd.ownMeta" -}}
{{- include "antispoofd.meta" (list . (include "antispoofd.fullname" .) dict dict) -}}
{{- end -}}

{{- define "antispoofd.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "antispoofd.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "antispoofd.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* A section of the settings as a map, empty where it is not there: (list . "worker"). */}}
{{- define "antispoofd.section" -}}
{{- $all := default dict (index . 0).Values.config -}}
{{- default dict (index $all (index . 1)) | toJson -}}
{{- end -}}

{{- define "antispoofd.backend" -}}
{{- default "memory" (include "antispoofd.section" (list . "ledger") | fromJson).backend -}}
{{- end -}}

{{- define "antispoofd.workload" -}}
{{- if eq (include "antispoofd.backend" .) "file" }}StatefulSet{{ else }}Deployment{{ end -}}
{{- end -}}

{{- define "antispoofd.prefix" -}}
{{- default "antispoof" (include "antispoofd.section" (list . "amqp") | fromJson).prefix -}}
{{- end -}}

{{- define "antispoofd.concurrency" -}}
{{- $jobs := (include "antispoofd.section" (list . "worker") | fromJson).concurrency -}}
{{- if kindIs "map" $jobs -}}
{{- $jobs = $jobs.max -}}
{{- end -}}
{{- default 16 $jobs | int64 -}}
{{- end -}}

{{/* Whole milliseconds of a duration such as 30s or 1m30s; nothing for anything else. */}}
{{- define "antispoofd.millis" -}}
{{- $text := toString . | replace " " "" -}}
{{- if regexMatch "^([0-9]+(ms|s|m|h|d))+$" $text -}}
{{- $unit := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- $sum := 0 -}}
{{- range $part := regexFindAll "[0-9]+(ms|s|m|h|d)" $text -1 -}}
{{- $sum = add $sum (mul (regexReplaceAll "^0+" (regexFind "^[0-9]+" $part) "" | int64) (index $unit (regexFind "[a-z]+$" $part))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}
{{- end -}}

{{/* Whole milliseconds in the form that names a delay queue: 90000 is 1m30s, a day is 24h, two are 2d. */}}
{{- define "antispoofd.plain" -}}
{{- $left := int64 . -}}
{{- range $unit := list (list 86400000 "d" 172800000) (list 3600000 "h" 3600000) (list 60000 "m" 60000) (list 1000 "s" 1000) -}}
{{- if ge $left (int64 (index $unit 2)) -}}
{{- div $left (index $unit 0) }}{{ index $unit 1 -}}
{{- $left = mod $left (int64 (index $unit 0)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whole bytes of a quantity of Kubernetes (256Mi, 1G, 0.5Gi) or a size of the settings (256MiB); nothing for anything else. */}}
{{- define "antispoofd.bytes" -}}
{{- /* Numbers of values are floats, and would be written as 2.68e+08. */ -}}
{{- $text := (ternary (int64 .) . (kindIs "float64" .)) | toString | replace " " "" | trimSuffix "B" -}}
{{- if regexMatch "^[0-9]+([.][0-9]+)?([kKMGT]i?)?$" $text -}}
{{- $unit := dict "" 1 "k" 1000 "K" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "ki" 1024 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (index $unit (regexFind "[kKMGTi]*$" $text)) | int64 -}}
{{- end -}}
{{- end -}}

{{/* Whole seconds, rounded up, that a stop may take. */}}
{{- define "antispoofd.drainSeconds" -}}
{{- $drain := default "30s" (include "antispoofd.section" (list . "worker") | fromJson).drain_timeout -}}
{{- divf (include "antispoofd.millis" $drain | int64) 1000 | ceil | int64 -}}
{{- end -}}

{{/* The 15 s are for what comes after the drain: the last acks, and the kernel's and the kubelet's delays. */}}
{{- define "antispoofd.graceSeconds" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add (include "antispoofd.drainSeconds" . | int64) 15 -}}
{{- else -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{/* maxSurge as a number or a percentage. A StatefulSet has none, and Kubernetes' own default is 25%. */}}
{{- define "antispoofd.maxSurge" -}}
{{- $rolling := default dict (default dict .Values.updateStrategy).rollingUpdate -}}
{{- if eq (include "antispoofd.workload" .) "StatefulSet" -}}
0
{{- else if kindIs "invalid" $rolling.maxSurge -}}
25%
{{- else -}}
{{- $rolling.maxSurge -}}
{{- end -}}
{{- end -}}

{{/* (list root replicas): workers beyond the replicas during a rollout; a percentage is rounded up, as Kubernetes does it. */}}
{{- define "antispoofd.surge" -}}
{{- $surge := include "antispoofd.maxSurge" (index . 0) -}}
{{- if hasSuffix "%" $surge -}}
{{- div (add 99 (mul (index . 1) (trimSuffix "%" $surge | int64))) 100 -}}
{{- else -}}
{{- int64 $surge -}}
{{- end -}}
{{- end -}}

{{/* The most replicas that the quota has calls for, the surge of their rollout included; nothing where quota or rate are not known. */}}
{{- define "antispoofd.quotaReplicas" -}}
{{- $rate := default 0 (include "antispoofd.section" (list . "api") | fromJson).rate_limit | float64 -}}
{{- $quota := .Values.apiQuota.callsPerSecond | float64 -}}
{{- if and (gt $rate 0.0) (gt $quota 0.0) -}}
{{- $workers := divf $quota $rate | floor | int64 -}}
{{- $surge := include "antispoofd.maxSurge" . -}}
{{- if hasSuffix "%" $surge -}}
{{- /* The largest n of which n + ⌈n × p / 100⌉ are not too many. */ -}}
{{- div (mul 100 $workers) (add 100 (trimSuffix "%" $surge | int64)) -}}
{{- else -}}
{{- max 0 (sub $workers (int64 $surge)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The vhost of the jobs as the broker names it, for what watches it: (list root own). The values may have it as in a URL: %2f is /. */}}
{{- define "antispoofd.vhost" -}}
{{- $vhost := default (index . 0).Values.rabbitmq.vhost (index . 1) -}}
{{- if regexMatch "^([^%]|%[0-9A-Fa-f]{2})*%[0-9A-Fa-f]{2}([^%]|%[0-9A-Fa-f]{2})*$" $vhost -}}
{{- /* The one decoder that templates have. */ -}}
{{- (urlParse (printf "http://broker/%s" ($vhost | replace "?" "%3F" | replace "#" "%23"))).path | trimPrefix "/" -}}
{{- else -}}
{{- $vhost -}}
{{- end -}}
{{- end -}}

{{/* KEDA takes what stands behind the last slash of a path for the vhost, and drops it. */}}
{{- define "antispoofd.managementUrl" -}}
{{- trimSuffix "/" .Values.keda.managementUrl }}/
{{- end -}}

{{/* The most workers that there can be. */}}
{{- define "antispoofd.mostReplicas" -}}
{{- if .Values.keda.enabled -}}
{{- $quota := include "antispoofd.quotaReplicas" . | int64 -}}
{{- $own := int64 .Values.keda.maxReplicas -}}
{{- if eq $own 0 }}{{ $quota }}{{ else }}{{ min $own $quota }}{{ end -}}
{{- else -}}
{{- int64 .Values.replicaCount -}}
{{- end -}}
{{- end -}}

{{/* (list root severity) */}}
{{- define "antispoofd.alertLabels" -}}
severity: {{ index . 1 }}
{{- with (index . 0).Values.prometheusRule.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
