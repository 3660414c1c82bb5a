{{/* What is unsafe in the values, each with its reason; all of it is said at once. What has the wrong form is refused by values.schema.json before. */}}

{{- define "antispoofd.refuse" -}}
{{- $problems := list -}}
{{- range $part := list "image" "jobs" "secrets" "stopping" "replicas" "keda" "rabbitmq" -}}
{{- range $line := splitList "\n" (include (printf "antispoofd.problems.%s" $part) $) -}}
{{- if trim $line -}}
{{- $problems = append $problems (trim $line) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThese values are refused:\n  - %s\n" (join "\n  - " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "antispoofd.problems.image" -}}
{{- if not .Values.image.repository }}
image.repository: is empty; build the image from the repository's Dockerfile, push it to your registry, and name it here
{{- end }}
{{- if and (eq .Values.image.tag "latest") (not .Values.image.digest) }}
image.tag: "latest" is whatever was pushed last, so a restart could bring another program; name a version, or set image.digest
{{- end }}
{{- end -}}

{{- define "antispoofd.problems.jobs" -}}
{{- $s3 := include "antispoofd.section" (list . "s3") | fromJson -}}
{{- if and (not $s3.buckets) (not $s3.allow_any_bucket) }}
config.s3.buckets: is empty, so whoever can publish a job could have any object read that the credentials can read; name the buckets, or set config.s3.allow_any_bucket
{{- end }}
{{- $admin := include "antispoofd.section" (list . "admin") | fromJson -}}
{{- if and $admin.listen (ne $admin.listen "0.0.0.0:9464") }}
config.admin.listen: the probes reach the pod at 0.0.0.0:9464, which the chart sets; leave it out
{{- end }}
{{- $ledger := include "antispoofd.section" (list . "ledger") | fromJson -}}
{{- if and $ledger.path (ne $ledger.path "/var/lib/antispoofd/ledger.redb") }}
config.ledger.path: is not on the volume that outlives the pod; leave it out, the chart sets it
{{- end }}
{{- end -}}

{{- define "antispoofd.problems.secrets" -}}
{{- $main := include "antispoofd.mainSecret" . -}}
{{- range $setting, $name := include "antispoofd.secretSettings" . | fromJson -}}
{{- $section := include "antispoofd.section" (list $ (splitList "." $setting | first)) | fromJson -}}
{{- $key := splitList "." $setting | last -}}
{{- if index $section $key }}
config.{{ $setting }}: is a secret, and values are kept in releases and in ConfigMaps where many can read them; put it into a Secret and name its key in secrets.{{ $name }}.key
{{- end }}
{{- if and (index $section (printf "%s_file" $key)) (index $.Values.secrets $name).key }}
config.{{ $setting }}_file: the chart sets it from secrets.{{ $name }}.key; set that to "" where you mount the file yourself
{{- end }}
{{- end }}
{{- range $name, $secret := .Values.secrets -}}
{{- if kindIs "map" $secret -}}
{{- if and $secret.key (not $secret.existingSecret) (not $main) }}
secrets.{{ $name }}: no Secret has its key "{{ $secret.key }}"; set secrets.existingSecret, secrets.{{ $name }}.existingSecret, or externalSecret
{{- end }}
{{- if and $.Values.externalSecret.enabled $secret.key (not $secret.existingSecret) (not (hasKey $.Values.externalSecret.data $secret.key)) }}
externalSecret.data: does not say where "{{ $secret.key }}" (secrets.{{ $name }}.key) is in the store
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.externalSecret.enabled .Values.secrets.existingSecret }}
secrets.existingSecret: is set beside externalSecret.enabled, which makes a Secret of its own; use one of them
{{- end }}
{{- if and .Values.externalSecret.enabled (not .Values.externalSecret.secretStoreRef.name) }}
externalSecret.secretStoreRef.name: is empty; name the store
{{- end }}
{{- $amqp := include "antispoofd.section" (list . "amqp") | fromJson -}}
{{- if not (or .Values.secrets.amqpUrl.key $amqp.url_file $amqp.url) }}
secrets.amqpUrl.key: is empty, and config.amqp.url_file too; without the broker's URL no worker starts
{{- end }}
{{- $api := include "antispoofd.section" (list . "api") | fromJson -}}
{{- $apiKey := or .Values.secrets.apiKey.key $api.api_key_file -}}
{{- $apiSecret := or .Values.secrets.apiSecret.key $api.secret_file -}}
{{- $apiToken := or .Values.secrets.apiToken.key $api.token_file -}}
{{- if and $apiToken (or $apiKey $apiSecret) }}
secrets.apiToken.key: is set beside apiKey.key or apiSecret.key; the API takes a token, or key and secret, not both: set the others to ""
{{- else if not (or $apiToken (and $apiKey $apiSecret)) }}
secrets.apiKey.key and secrets.apiSecret.key: both are needed, or secrets.apiToken.key
{{- end }}
{{- $ledger := include "antispoofd.section" (list . "ledger") | fromJson -}}
{{- if and (eq (include "antispoofd.backend" .) "redis") (not (or .Values.secrets.ledgerUrl.key $ledger.url_file $ledger.url)) }}
secrets.ledgerUrl.key: is empty, and config.ledger.backend is "redis"; put the URL (redis:// or rediss://) into a Secret and name its key
{{- end }}
{{- range $variable := .Values.extraEnv -}}
{{- if and $variable.value (regexMatch "^(ANTISPOOFD__(AMQP__URL|API__API_KEY|API__SECRET|API__TOKEN|LEDGER__URL|LOG__HASH_KEY)|VIDEOSDK_API_KEY|VIDEOSDK_SECRET|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN)$" $variable.name) }}
extraEnv: {{ $variable.name }} holds a secret in the clear; take it from a Secret with valueFrom, or use secrets
{{- end }}
{{- end }}
{{- if and .Values.amqpCa.configMap .Values.amqpCa.secret }}
amqpCa: configMap and secret are both set; use one
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
serviceAccount.name: is empty, and serviceAccount.create is false; the namespace's default account would get the worker's rights
{{- end }}
{{- end -}}

{{- define "antispoofd.problems.stopping" -}}
{{- $worker := include "antispoofd.section" (list . "worker") | fromJson -}}
{{- if $worker.termination_grace }}
config.worker.termination_grace: is what the pod has, which terminationGracePeriodSeconds says; leave it out, the chart sets it
{{- end }}
{{- $api := include "antispoofd.section" (list . "api") | fromJson -}}
{{- $drain := include "antispoofd.millis" (default "30s" $worker.drain_timeout) -}}
{{- $call := include "antispoofd.millis" (default "30s" $api.timeout) -}}
{{- if not $drain }}
config.worker.drain_timeout: "{{ $worker.drain_timeout }}" is not a duration such as 30s or 1m30s
{{- else if and $call (lt (int64 $drain) (int64 $call)) }}
config.worker.drain_timeout: is shorter than api.timeout; a stop could cut off a call that was already sent, and it would be paid for twice
{{- end }}
{{- if and $api.timeout (not $call) }}
config.api.timeout: "{{ $api.timeout }}" is not a duration such as 30s or 1m30s
{{- end }}
{{- if $drain }}
{{- $least := add (include "antispoofd.drainSeconds" . | int64) 15 -}}
{{- if lt (include "antispoofd.graceSeconds" . | int64) $least }}
terminationGracePeriodSeconds: must be at least {{ $least }}: worker.drain_timeout, and 15 s for the last acknowledgements; after it the kubelet kills, and calls that were sent are paid for twice
{{- end }}
{{- end }}
{{- end -}}

{{- define "antispoofd.problems.replicas" -}}
{{- $most := include "antispoofd.mostReplicas" . | int64 -}}
{{- $backend := include "antispoofd.backend" . -}}
{{- if and (gt $most 1) (ne $backend "redis") (not .Values.acceptUnsharedLedger) }}
config.ledger.backend: "{{ $backend }}" is not shared by replicas, of which there can be {{ $most }}: a job that moves from one to another is paid for again; use "redis", one replica, or set acceptUnsharedLedger
{{- end }}
{{- $quota := .Values.apiQuota.callsPerSecond | float64 -}}
{{- $rate := default 0 (include "antispoofd.section" (list . "api") | fromJson).rate_limit | float64 -}}
{{- if gt $quota 0.0 -}}
{{- if eq $rate 0.0 }}
config.api.rate_limit: is 0 (no limit), and apiQuota.callsPerSecond is set; give each worker its share
{{- else if gt $rate $quota }}
config.api.rate_limit: one worker alone may make more calls a second than apiQuota.callsPerSecond
{{- else if and (not .Values.keda.enabled) (gt (mulf $rate $most) $quota) }}
replicaCount: {{ $most }} workers at config.api.rate_limit {{ $rate }} make more calls a second than apiQuota.callsPerSecond
{{- end }}
{{- end }}
{{- end -}}

{{- define "antispoofd.problems.keda" -}}
{{- if .Values.keda.enabled -}}
{{- if not (include "antispoofd.quotaReplicas" .) }}
apiQuota.callsPerSecond and config.api.rate_limit: must both be set with keda.enabled: more workers do not buy more calls, and a deep queue would only bring refusals (429)
{{- end }}
{{- if not .Values.keda.managementUrl }}
keda.managementUrl: is empty; over AMQP KEDA sees only what no worker has in hand, and would scale down workers in the middle of their jobs
{{- else if contains "@" .Values.keda.managementUrl }}
keda.managementUrl: has credentials in it; put them into the Secret of keda.existingSecret
{{- end }}
{{- if not .Values.keda.existingSecret }}
keda.existingSecret: is empty; name a Secret with user name and password for the management API
{{- end }}
{{- if and (include "antispoofd.quotaReplicas" .) (lt (include "antispoofd.mostReplicas" . | int64) (max 1 (int64 .Values.keda.minReplicas))) }}
keda.minReplicas: is more than the quota and keda.maxReplicas allow ({{ include "antispoofd.mostReplicas" . }})
{{- end }}
{{- end -}}
{{- end -}}

{{- define "antispoofd.problems.rabbitmq" -}}
{{- if and .Values.rabbitmq.enabled (not .Values.rabbitmq.clusterReference) }}
rabbitmq.clusterReference: is empty; say which broker, as {name: rabbitmq} or {connectionSecret: {name: broker}}
{{- end }}
{{- end -}}
