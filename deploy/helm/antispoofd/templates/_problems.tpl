{{/* What is unsafe in the values, each with its reason; all of it is said at once. What has the wrong form is refused by values.schema.json before. */}}

{{- define "antispoofd.refuse" -}}
{{- $problems := list -}}
{{- range $part := list "image" "labels" "jobs" "secrets" "environment" "passwords" "durations" "stopping" "memory" "replicas" "rollout" "keda" "rabbitmq" -}}
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
{{- if or (contains "@" .Values.image.repository) (contains ":" (splitList "/" .Values.image.repository | last)) }}
image.repository: has a tag or a digest in it, and the chart would put another behind it; name them in image.tag and image.digest
{{- end }}
{{- /* Neither Helm nor the API server looks into the name; the kubelet does, when the rollout has begun. */ -}}
{{- $parts := splitList "/" (regexReplaceAll "[@:][^/]*$" .Values.image.repository "") -}}
{{- $host := first $parts -}}
{{- if and (rest $parts) (or (contains "." $host) (contains ":" $host) (eq $host "localhost")) -}}
{{- $parts = rest $parts -}}
{{- end -}}
{{- if and .Values.image.repository (not (regexMatch "^[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*$" (join "/" $parts))) }}
image.repository: "{{ join "/" $parts }}" is no name of an image: a-z, 0-9, and between them ".", "_", "-" and "/"; no pod could start (InvalidImageName)
{{- end }}
{{- if and .Values.image.tag (not (regexMatch "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" .Values.image.tag)) }}
image.tag: "{{ .Values.image.tag }}" is no tag: letters, digits, "_", ".", "-", at most 128, the first no "." or "-"; no pod could start (InvalidImageName)
{{- end }}
{{- if and (eq .Values.image.tag "latest") (not .Values.image.digest) }}
image.tag: "latest" is whatever was pushed last, so a restart could bring another program; name a version, or set image.digest
{{- end }}
{{- end -}}

{{- define "antispoofd.problems.labels" -}}
{{- $own := keys (include "antispoofd.ownLabels" . | fromYaml) | concat (list "app.kubernetes.io/component") -}}
{{- range $from := list "commonLabels" "podLabels" -}}
{{- range $label, $_ := index $.Values $from -}}
{{- if has $label $own }}
{{ $from }}: {{ $label }} is the chart's own, and selectors go by such; leave it out
{{- end }}
{{- end }}
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
{{- if .Values.externalSecret.enabled -}}
{{- $used := include "antispoofd.keysInUse" . | splitList "\n" -}}
{{- range $key, $_ := .Values.externalSecret.data -}}
{{- if not (has $key $used) }}
externalSecret.data: "{{ $key }}" is used by nothing; is it misspelt, or is its secrets.….key not set?
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
{{- if and (eq (include "antispoofd.backend" .) "s3") (not $ledger.bucket) }}
config.ledger.bucket: is empty, and config.ledger.backend is "s3"; name a bucket that no image is in, and that the workers alone may write to
{{- end }}
{{- if and (eq (include "antispoofd.backend" .) "s3") (has $ledger.bucket (default list (include "antispoofd.section" (list . "s3") | fromJson).buckets)) }}
config.ledger.bucket: is one of config.s3.buckets: a program that may put images there could put verdicts there; name a bucket of its own
{{- end }}
{{- if and .Values.amqpCa.configMap .Values.amqpCa.secret }}
amqpCa: configMap and secret are both set; use one
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) }}
serviceAccount.name: is empty, and serviceAccount.create is false; the namespace's default account would get the worker's rights
{{- end }}
{{- end -}}

{{/* The keys of the Secret that an ExternalSecret makes, one a line, that something in these values takes from it. */}}
{{- define "antispoofd.keysInUse" -}}
{{- $main := include "antispoofd.mainSecret" . -}}
{{- range $secret := .Values.secrets -}}
{{- if and (kindIs "map" $secret) (eq $main (default $main $secret.existingSecret)) }}
{{ $secret.key }}
{{- end }}
{{- end }}
{{- range $variable := .Values.extraEnv -}}
{{- with (default dict $variable.valueFrom).secretKeyRef -}}
{{- if eq .name $main }}
{{ .key }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq .Values.amqpCa.secret $main }}
{{ .Values.amqpCa.key }}
{{- end }}
{{- if eq .Values.keda.existingSecret $main }}
{{ .Values.keda.usernameKey }}
{{ .Values.keda.passwordKey }}
{{- end }}
{{- end -}}

{{- define "antispoofd.problems.environment" -}}
{{- range $variable := .Values.extraEnv -}}
{{- if or (hasPrefix "ANTISPOOFD__" $variable.name) (eq $variable.name "ANTISPOOFD_CONFIG") }}
extraEnv: {{ $variable.name }} would win over what the chart has checked; settings belong to config, secrets to secrets
{{- else if and $variable.value (regexMatch "^(VIDEOSDK_API_KEY|VIDEOSDK_SECRET|AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN)$" $variable.name) }}
extraEnv: {{ $variable.name }} holds a secret in the clear; take it from a Secret with valueFrom, or use secrets
{{- end }}
{{- end }}
{{- end -}}

{{/* Anywhere in the values: they are kept in releases, and become objects that many can read. */}}
{{- define "antispoofd.problems.passwords" -}}
{{- /* Those have reasons of their own. */ -}}
{{- $told := list "keda.managementUrl" -}}
{{- range $setting, $_ := include "antispoofd.secretSettings" . | fromJson -}}
{{- $told = append $told (printf "config.%s" $setting) -}}
{{- end -}}
{{- range $path := include "antispoofd.urlsWithPasswords" (list "" .Values) | splitList "\n" -}}
{{- if and $path (not (has $path $told)) }}
{{ $path }}: is a URL with a password in it, which many can read there; put it into a Secret
{{- end }}
{{- end }}
{{- end -}}

{{/* (list path value): the paths of such strings, one a line. */}}
{{- define "antispoofd.urlsWithPasswords" -}}
{{- $path := index . 0 -}}
{{- $value := index . 1 -}}
{{- if and (kindIs "string" $value) (regexMatch "[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\\s]*:[^/?#\\s]+@" $value) }}
{{ $path }}
{{- else if kindIs "slice" $value -}}
{{- range $index, $item := $value -}}
{{- include "antispoofd.urlsWithPasswords" (list (printf "%s[%d]" $path $index) $item) -}}
{{- end -}}
{{- else if or (kindIs "map" $value) (eq $path "") -}}
{{- range $key, $item := $value -}}
{{- include "antispoofd.urlsWithPasswords" (list (printf "%s.%s" $path $key | trimPrefix ".") $item) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "antispoofd.problems.durations" -}}
{{- range $setting, $limits := .Files.Get "durations.json" | fromJson -}}
{{- $section := include "antispoofd.section" (list $ (splitList "." $setting | first)) | fromJson -}}
{{- with index $section (splitList "." $setting | last) -}}
{{- $millis := include "antispoofd.millis" . | int64 -}}
{{- if or (lt $millis (include "antispoofd.millis" (first $limits) | int64)) (gt $millis (include "antispoofd.millis" (last $limits) | int64)) }}
config.{{ $setting }}: {{ . }} is not within {{ join " to " $limits }}, and no worker would start
{{- end }}
{{- end }}
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

{{/* A limit below what the settings allow the worker to take ends in kills, each with calls in doubt. */}}
{{- define "antispoofd.problems.memory" -}}
{{- $limit := default dict (default dict .Values.resources).limits -}}
{{- $bytes := include "antispoofd.bytes" (default "" $limit.memory) -}}
{{- if $bytes -}}
{{- $image := include "antispoofd.section" (list . "image") | fromJson -}}
{{- $decodes := or $image.convert (eq (default "pass" $image.orientation) "apply") (gt (default 0 $image.max_side | int64) 0) (eq (default "structure" $image.verify) "decode") -}}
{{- $share := include "antispoofd.bytes" (default "256MiB" $image.conversion_memory) | int64 -}}
{{- $least := 134217728 | int64 -}}
{{- $ledger := include "antispoofd.section" (list . "ledger") | fromJson -}}
{{- $entries := 0 | int64 -}}
{{- if eq (include "antispoofd.backend" .) "memory" -}}
{{- /* docs/sizing.md: 1.6 kB each, beside the 64Mi of the rest. */ -}}
{{- $entries = add 67108864 (mul 1600 (default 100000 $ledger.max_entries | int64)) -}}
{{- end -}}
{{- if lt ($bytes | int64) $least }}
resources.limits.memory: is less than 128Mi, which jobs in flight may take; a worker that is killed for memory leaves calls in doubt
{{- else if lt ($bytes | int64) $entries }}
resources.limits.memory: is less than 64Mi and 1.6 kB for each of config.ledger.max_entries, which a ledger in memory grows to; set it to {{ div (add $entries 1048575) 1048576 }}Mi, or fewer entries
{{- else if and $decodes (lt ($bytes | int64) (add (max $least $entries) $share)) }}
resources.limits.memory: is less than config.image.conversion_memory ({{ default "256MiB" $image.conversion_memory }}), which is taken where images are converted or decoded, and {{ div (add (max $least $entries) 1048575) 1048576 }}Mi for the rest; set it to {{ div (add (max $least $entries) $share 1048575) 1048576 }}Mi
{{- end }}
{{- end }}
{{- end -}}

{{- define "antispoofd.problems.replicas" -}}
{{- $most := include "antispoofd.mostReplicas" . | int64 -}}
{{- $backend := include "antispoofd.backend" . -}}
{{- if and (gt $most 1) (not (has $backend (list "redis" "s3"))) (not .Values.acceptUnsharedLedger) }}
config.ledger.backend: "{{ $backend }}" is not shared by replicas, of which there can be {{ $most }}: a job that moves from one to another is paid for again; use "redis" or "s3", one replica, or set acceptUnsharedLedger
{{- end }}
{{- $quota := .Values.apiQuota.callsPerSecond | float64 -}}
{{- $rate := default 0 (include "antispoofd.section" (list . "api") | fromJson).rate_limit | float64 -}}
{{- if gt $quota 0.0 -}}
{{- if eq $rate 0.0 }}
config.api.rate_limit: is 0 (no limit), and apiQuota.callsPerSecond is set; give each worker its share
{{- else if gt $rate $quota }}
config.api.rate_limit: one worker alone may make more calls a second than apiQuota.callsPerSecond
{{- else if and (not .Values.keda.enabled) (gt $most 0) (gt $most (include "antispoofd.quotaReplicas" . | int64)) }}
{{- $surge := include "antispoofd.surge" (list . $most) | int64 }}
replicaCount: {{ $most }} and, during a rollout, {{ $surge }} more workers (maxSurge) at config.api.rate_limit {{ $rate }} make {{ mulf $rate (add $most $surge) }} calls a second, more than apiQuota.callsPerSecond ({{ $quota }}); {{ include "antispoofd.waysOut" . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "antispoofd.waysOut" -}}
take fewer workers, a lower config.api.rate_limit, or updateStrategy.rollingUpdate with maxSurge 0 and maxUnavailable 1
{{- end -}}

{{- define "antispoofd.problems.rollout" -}}
{{- $rolling := default dict (default dict .Values.updateStrategy).rollingUpdate -}}
{{- if and (regexMatch "^0+%?$" (toString $rolling.maxSurge)) (regexMatch "^0+%?$" (toString $rolling.maxUnavailable)) }}
updateStrategy.rollingUpdate: with maxSurge 0 and maxUnavailable 0 no pod could be replaced; Kubernetes refuses it
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
{{- else if regexMatch "[?#%]" .Values.keda.managementUrl }}
keda.managementUrl: has a query, a fragment or a %, which KEDA would put in the wrong place; give scheme, host, port and a plain path
{{- end }}
{{- if contains " " (include "antispoofd.vhost" (list . .Values.keda.vhost)) }}
keda.vhost or rabbitmq.vhost: has a space, which KEDA sends as +, and the management API reads as a plus; no queue would be found
{{- end }}
{{- if not .Values.keda.existingSecret }}
keda.existingSecret: is empty; name a Secret with user name and password for the management API
{{- end }}
{{- if and (include "antispoofd.quotaReplicas" .) (lt (include "antispoofd.mostReplicas" . | int64) (max 1 (int64 .Values.keda.minReplicas))) }}
keda.minReplicas: is more than the quota, with a rollout's maxSurge, and keda.maxReplicas allow ({{ include "antispoofd.mostReplicas" . }}); {{ include "antispoofd.waysOut" . }}
{{- end }}
{{- if ne (int64 .Values.replicaCount) 1 }}
replicaCount: is {{ int64 .Values.replicaCount }}, and keda.enabled decides how many workers there are; leave it out, and set keda.minReplicas and keda.maxReplicas
{{- end }}
{{- end -}}
{{- end -}}

{{- define "antispoofd.problems.rabbitmq" -}}
{{- if and .Values.rabbitmq.enabled (not .Values.rabbitmq.clusterReference) }}
rabbitmq.clusterReference: is empty; say which broker, as {name: rabbitmq} or {connectionSecret: {name: broker}}
{{- end }}
{{- end -}}
