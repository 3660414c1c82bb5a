{{/* The pod of Deployment and StatefulSet, and what the test's pod has in common with it. */}}

{{- define "antispoofd.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "antispoofd.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "antispoofd.env" -}}
{{- if .Values.secrets.awsCredentials.key }}
- name: AWS_SHARED_CREDENTIALS_FILE
  value: {{ include "antispoofd.secretFile" (list . "awsCredentials") }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "antispoofd.mounts" -}}
- name: settings
  mountPath: /etc/antispoofd/antispoofd.toml
  subPath: antispoofd.toml
  readOnly: true
{{- if include "antispoofd.secretSources" . }}
- name: secrets
  mountPath: {{ include "antispoofd.secretsPath" . }}
  readOnly: true
{{- end }}
{{- if or .Values.amqpCa.configMap .Values.amqpCa.secret }}
- name: amqp-ca
  mountPath: /etc/antispoofd/ca
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "antispoofd.volumes" -}}
- name: settings
  configMap:
    name: {{ include "antispoofd.fullname" . }}
{{- with include "antispoofd.secretSources" . }}
- name: secrets
  projected:
    # Read by the group, which fsGroup makes the worker's; the worker warns of secrets that everybody may read.
    defaultMode: 0440
    sources:
      {{- . | indent 6 }}
{{- end }}
{{- if or .Values.amqpCa.configMap .Values.amqpCa.secret }}
- name: amqp-ca
  projected:
    sources:
      - {{ if .Values.amqpCa.configMap }}configMap{{ else }}secret{{ end }}:
          name: {{ default .Values.amqpCa.secret .Values.amqpCa.configMap }}
          items:
            - key: {{ .Values.amqpCa.key | quote }}
              path: ca.crt
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "antispoofd.probe" -}}
httpGet:
  path: {{ index . 1 }}
  port: admin
{{ toYaml (index . 0) }}
{{- end -}}

{{- define "antispoofd.pod" -}}
metadata:
  annotations:
    # Settings are read at the start only; a change of them is a rollout.
    checksum/settings: {{ include "antispoofd.toml" . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  labels:
    {{- include "antispoofd.labels" (list . (dict "app.kubernetes.io/component" "worker") .Values.podLabels) | nindent 4 }}
spec:
  serviceAccountName: {{ include "antispoofd.serviceAccountName" . }}
  # The worker does not talk to Kubernetes; IRSA and Pod Identity project tokens of their own.
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "antispoofd.graceSeconds" . }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  securityContext:
    {{- include "antispoofd.podSecurity" . | nindent 4 }}
  containers:
    - name: worker
      image: {{ include "antispoofd.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run]
      ports:
        - name: admin
          containerPort: 9464
          protocol: TCP
      {{- with include "antispoofd.env" . | trim }}
      env:
        {{- . | nindent 8 }}
      {{- end }}
      startupProbe:
        {{- include "antispoofd.probe" (list .Values.probes.startup "/startupz") | nindent 8 }}
      livenessProbe:
        {{- include "antispoofd.probe" (list .Values.probes.liveness "/livez") | nindent 8 }}
      readinessProbe:
        {{- include "antispoofd.probe" (list .Values.probes.readiness "/readyz") | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- include "antispoofd.containerSecurity" . | nindent 8 }}
      volumeMounts:
        {{- include "antispoofd.mounts" . | nindent 8 }}
        {{- if eq (include "antispoofd.backend" .) "file" }}
        - name: ledger
          mountPath: /var/lib/antispoofd
        {{- end }}
  volumes:
    {{- include "antispoofd.volumes" . | nindent 4 }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    {{- if .Values.topologySpreadConstraints }}
    {{- toYaml .Values.topologySpreadConstraints | nindent 4 }}
    {{- else }}
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "antispoofd.workerLabels" $ | nindent 10 }}
      {{- if eq (include "antispoofd.workload" $) "Deployment" }}
      # The old pods of a rollout are about to go, and where they are is no matter.
      matchLabelKeys: [pod-template-hash]
      {{- end }}
    {{- end }}
    {{- end }}
{{- end -}}
