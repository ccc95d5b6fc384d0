{{- define "backburn.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* Where NATS is. The name of an installed one is as the chart of the NATS project has it. */}}
{{- define "backburn.natsURL" -}}
{{- if .Values.nats.url -}}
{{ .Values.nats.url }}
{{- else if not .Values.nats.enabled -}}
nats://nats:4222
{{- else if contains "nats" .Release.Name -}}
nats://{{ .Release.Name }}:4222
{{- else -}}
nats://{{ .Release.Name }}-nats:4222
{{- end -}}
{{- end }}

{{- define "backburn.labels" -}}
app.kubernetes.io/name: backburn
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "backburn.selector" -}}
app.kubernetes.io/name: backburn
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- /* What a pod of Backburn has, whatever it does: (dict "root" $ "role" "worker" "resources" …) */}}
{{- define "backburn.pod" -}}
metadata:
  labels:
    {{- include "backburn.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .role }}
  annotations:
    checksum/config: {{ include (print .root.Template.BasePath "/config.yaml") .root | sha256sum }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .root.Values.worker.terminationGracePeriodSeconds }}
  {{- with .root.Values.imagePullSecrets }}
  imagePullSecrets: {{ toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: backburn
      image: {{ include "backburn.image" .root | quote }}
      imagePullPolicy: {{ .root.Values.image.pullPolicy }}
      args: ["--config", "/etc/backburn/backburn.toml", {{ .role | quote }}]
      ports:
        - {name: metrics, containerPort: 9464}
        {{- if eq .role "api" }}
        - {name: api, containerPort: 8080}
        {{- end }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
      env:
        - {name: CREDENTIALS_DIRECTORY, value: /run/secrets/backburn}
        - {name: GOMEMLIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
      startupProbe:
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 2
        failureThreshold: 60
      # Alive is not the same as ready: a restart heals neither NATS nor WildFire.
      livenessProbe:
        httpGet: {path: /healthz, port: metrics}
        periodSeconds: 20
        timeoutSeconds: 5
      readinessProbe:
        httpGet: {path: /readyz, port: metrics}
        periodSeconds: 10
        timeoutSeconds: 5
      resources: {{ toYaml .resources | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /etc/backburn, readOnly: true}
        - {name: secrets, mountPath: /run/secrets/backburn, readOnly: true}
        - {name: tmp, mountPath: /tmp}
  {{- with .root.Values.worker.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.worker.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.worker.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "backburn.selector" .root | nindent 10 }}
          app.kubernetes.io/component: {{ .role }}
  volumes:
    - name: config
      configMap: {name: {{ .root.Release.Name }}}
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    - name: secrets
      projected:
        defaultMode: 0440
        sources:
          {{- if eq .role "worker" }}
          - secret: {name: {{ .root.Values.wildfire.secret }}}
          {{- end }}
          {{- with .root.Values.nats.secret }}
          - secret: {name: {{ . }}}
          {{- end }}
          {{- if eq .role "api" }}
          - secret: {name: {{ .root.Values.api.secret }}}
          - secret: {name: {{ .root.Values.api.tlsSecret }}}
          {{- end }}
          - configMap: {name: {{ .root.Release.Name }}, items: [{key: role, path: .role}]}
{{- end }}
