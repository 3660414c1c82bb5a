{{/* antispoofd.toml: the values' settings, and what the chart sets. */}}

{{/* The settings as a map of sections, with the chart's own. */}}
{{- define "antispoofd.settings" -}}
{{- $config := deepCopy (default dict .Values.config) -}}
{{- $grace := printf "%ds" (include "antispoofd.graceSeconds" . | int64) -}}
{{- $own := dict "admin" (dict "listen" "0.0.0.0:9464") "worker" (dict "termination_grace" $grace) -}}
{{- if eq (include "antispoofd.backend" .) "file" -}}
{{- $_ := set $own "ledger" (dict "path" "/var/lib/antispoofd/ledger.redb") -}}
{{- end -}}
{{- range $setting, $name := include "antispoofd.secretSettings" . | fromJson -}}
{{- if (index $.Values.secrets $name).key -}}
{{- $section := splitList "." $setting | first -}}
{{- $key := printf "%s_file" (splitList "." $setting | last) -}}
{{- $_ := set $own $section (merge (default dict (index $own $section)) (dict $key (include "antispoofd.secretFile" (list $ $name)))) -}}
{{- end -}}
{{- end -}}
{{- if or .Values.amqpCa.configMap .Values.amqpCa.secret -}}
{{- $_ := set $own "amqp" (merge (default dict $own.amqp) (dict "ca_file" "/etc/antispoofd/ca/ca.crt")) -}}
{{- end -}}
{{- if and .Values.rabbitmq.enabled (not (default dict $config.amqp).topology) -}}
{{- $_ := set $own "amqp" (merge (default dict $own.amqp) (dict "topology" "check")) -}}
{{- end -}}
{{- mergeOverwrite $config $own | toJson -}}
{{- end -}}

{{- define "antispoofd.toml" -}}
{{- range $section, $keys := include "antispoofd.settings" . | fromJson -}}
{{- $inner := list -}}
{{- if $keys -}}
[{{ $section }}]
{{ range $key, $value := $keys -}}
{{- if kindIs "map" $value -}}
{{- $inner = append $inner (list $key $value) -}}
{{- else -}}
{{ $key }} = {{ include "antispoofd.tomlValue" $value }}
{{ end -}}
{{- end -}}
{{- range $table := $inner }}
[{{ $section }}.{{ index $table 0 }}]
{{ range $key, $value := index $table 1 -}}
{{ $key | quote }} = {{ include "antispoofd.tomlValue" $value }}
{{ end -}}
{{- end }}
{{ end -}}
{{- end -}}
{{- end -}}

{{/* JSON's strings, booleans and lists of strings are TOML's. Numbers come as floats, which TOML tells from integers. */}}
{{- define "antispoofd.tomlValue" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else if kindIs "float64" . -}}
{{- . | toJson -}}
{{- else -}}
{{- . | toRawJson -}}
{{- end -}}
{{- end -}}
