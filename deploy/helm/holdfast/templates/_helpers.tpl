{{- define "holdfast.labels" -}}
app.kubernetes.io/name: holdfast
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- define "holdfast.selector" -}}
app.kubernetes.io/name: holdfast
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "holdfast.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (printf "%s-holdfast" .Release.Name) }}
{{- end }}

{{- /* Variables: secrets by reference, then the chart's, then the user's. */ -}}
{{- define "holdfast.env" -}}
{{- range $name, $key := .root.Values.secret.keys }}
{{- if not (and (eq $name "HOLDFAST_DATABASE_URL") (or (eq $.component "migrate") $.root.Values.cells.secret)) }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ $.root.Values.secret.name }}, key: {{ $key }}, optional: {{ ne $name "HOLDFAST_DATABASE_URL" }}}
{{- end }}
{{- end }}
{{- if .root.Values.cells.secret }}
- {name: HOLDFAST_CELLS, value: /etc/holdfast/cells/cells.json}
{{- end }}
- {name: TEMPORAL_ADDRESS, value: {{ .root.Values.temporal.address | quote }}}
- {name: TEMPORAL_NAMESPACE, value: {{ .root.Values.temporal.namespace | quote }}}
{{- range $name, $value := mergeOverwrite (deepCopy .root.Values.env) (deepCopy .env) }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{- /* The volume with the file of cells. */ -}}
{{- define "holdfast.cells" -}}
{name: cells, secret: {secretName: {{ .root.Values.cells.secret }}, defaultMode: 0440, items: [{key: {{ .file }}, path: cells.json}]}}
{{- end }}

{{- define "holdfast.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "holdfast.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* Health is on the port with this name. */ -}}
{{- define "holdfast.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: {{ .port }}, scheme: {{ .scheme | default "HTTP" }}}
  periodSeconds: 2
  failureThreshold: 60
livenessProbe:
  httpGet: {path: /healthz, port: {{ .port }}, scheme: {{ .scheme | default "HTTP" }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: {{ .port }}, scheme: {{ .scheme | default "HTTP" }}}
  periodSeconds: 2
  timeoutSeconds: 5
{{- end }}

{{- define "holdfast.pod" -}}
serviceAccountName: {{ include "holdfast.serviceAccount" .root }}
automountServiceAccountToken: false
terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
securityContext:
  {{- include "holdfast.podSecurity" . | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "holdfast.image" -}}
{{ .root.Values.image.registry }}{{ .image }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- /* A worker of a role: a Deployment. */ -}}
{{- define "holdfast.worker" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  labels: {{- include "holdfast.labels" . | nindent 4 }}
spec:
  {{- if not .values.autoscaling.enabled }}
  replicas: {{ .values.replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "holdfast.selector" . | nindent 6 }}
  strategy:
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  template:
    metadata:
      labels: {{- include "holdfast.labels" . | nindent 8 }}
      {{- with .root.Values.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- include "holdfast.pod" . | nindent 6 }}
      {{- if .values.hostNetwork }}
      hostNetwork: true
      dnsPolicy: ClusterFirstWithHostNet
      {{- end }}
      {{- with .values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: worker
          image: {{ include "holdfast.image" (dict "root" .root "image" .root.Values.image.worker) }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          securityContext: {{- include "holdfast.containerSecurity" . | nindent 12 }}
          env:
            {{- include "holdfast.env" (dict "root" .root "component" .component "env" .values.env) | nindent 12 }}
            - {name: HOLDFAST_WORKER_ROLE, value: {{ .role | quote }}}
            - {name: HOLDFAST_WORKER_ADDR, value: "0.0.0.0:9464"}
            {{- if .root.Values.deploymentName }}
            - {name: HOLDFAST_WORKER_DEPLOYMENT, value: {{ .root.Values.deploymentName | quote }}}
            - {name: HOLDFAST_WORKER_BUILD_ID, value: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}}
            {{- end }}
          ports: [{name: metrics, containerPort: 9464}]
          {{- include "holdfast.probes" (dict "port" "metrics" "scheme" "HTTP") | nindent 10 }}
          resources: {{- toYaml .values.resources | nindent 12 }}
{{- end }}

{{- /* Scales a Deployment by CPU, or by the backlog of its task queue (KEDA). */ -}}
{{- define "holdfast.scaler" -}}
{{- $a := .values.autoscaling }}
{{- if eq $a.kind "keda" }}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  labels: {{- include "holdfast.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {name: {{ .root.Release.Name }}-{{ .component }}}
  minReplicaCount: {{ $a.min }}
  maxReplicaCount: {{ $a.max }}
  triggers:
    - type: temporal
      metadata:
        endpoint: {{ .root.Values.temporal.address | quote }}
        namespace: {{ .root.Values.temporal.namespace | quote }}
        taskQueue: {{ .queue | quote }}
        targetQueueSize: {{ $a.targetBacklog | quote }}
{{- else }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .root.Release.Name }}-{{ .component }}
  labels: {{- include "holdfast.labels" . | nindent 4 }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .root.Release.Name }}-{{ .component }}}
  minReplicas: {{ $a.min }}
  maxReplicas: {{ $a.max }}
  metrics:
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ $a.targetCPU }}}}
{{- end }}
{{- end }}
