{{/* The pod, whatever owns it. */}}
{{- define "bucketport.pod" -}}
metadata:
  # Not all labels: a new version of the chart alone replaces no pod.
  labels:
    {{- mergeOverwrite (dict) .Values.commonLabels .Values.podLabels (include "bucketport.selectorLabels" . | fromYaml) | toYaml | nindent 4 }}
  {{- $annotations := dict -}}
  {{- /* New pods for what the gateway reads at its start alone. Users and certificates it reads again by itself. */}}
  {{- if not (or .Values.existingConfigSecret .Values.existingConfigMap) }}
  {{- $_ := set $annotations "checksum/config" (include "bucketport.fingerprint" (include "bucketport.config" .)) }}
  {{- end }}
  {{- if and (include "bucketport.passwordsSecret" .) (not .Values.existingPasswordsSecret) }}
  {{- $_ := set $annotations "checksum/passwords" (include "bucketport.fingerprint" (include "bucketport.passwords" .)) }}
  {{- end }}
  {{- if .Values.metrics.scrapeAnnotations }}
  {{- $_ := set $annotations "prometheus.io/scrape" "true" }}
  {{- $_ := set $annotations "prometheus.io/port" (int .Values.containerPorts.http | toString) }}
  {{- $_ := set $annotations "prometheus.io/path" "/metrics" }}
  {{- end }}
  {{- with merge (dict) .Values.podAnnotations $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "bucketport.serviceAccountName" . }}
  automountServiceAccountToken: false
  # BUCKETPORT_* is configuration. Without this, Kubernetes adds variables of that name for a Service named bucketport.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "bucketport.gracePeriod" . }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if .Values.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- with .Values.dnsPolicy | default (.Values.hostNetwork | ternary "ClusterFirstWithHostNet" "") }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with .Values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.podSecurityContext }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.initContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: bucketport
      {{- with .Values.image }}
      {{- if .digest }}
      image: "{{ .repository }}@{{ .digest }}"
      {{- else }}
      image: "{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}"
      {{- end }}
      imagePullPolicy: {{ .pullPolicy }}
      {{- end }}
      args: [serve, --config, /etc/bucketport/bucketport.toml]
      env:
        {{- include "bucketport.env" . | trim | nindent 8 }}
        {{- with .Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .Values.envFrom }}
      envFrom:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: ftp
          containerPort: {{ int .Values.containerPorts.ftp }}
        {{- if and .Values.tls.enabled .Values.tls.implicit }}
        - name: ftps
          containerPort: {{ int .Values.containerPorts.implicitTls }}
        {{- end }}
        - name: http
          containerPort: {{ int .Values.containerPorts.http }}
        {{- if .Values.cluster.enabled }}
        - name: cluster
          containerPort: {{ int .Values.cluster.port }}
        {{- end }}
        {{- range splitList " " (include "bucketport.passivePorts" .) }}
        - name: passive-{{ . }}
          containerPort: {{ . }}
        {{- end }}
      startupProbe:
        httpGet:
          path: /livez
          port: http
        {{- toYaml .Values.startupProbe | nindent 8 }}
      livenessProbe:
        httpGet:
          path: /livez
          port: http
        {{- toYaml .Values.livenessProbe | nindent 8 }}
      readinessProbe:
        httpGet:
          path: /readyz
          port: http
        {{- toYaml .Values.readinessProbe | nindent 8 }}
      {{- with include "bucketport.preStopSleepSeconds" . | int }}
      lifecycle:
        preStop:
          sleep:
            seconds: {{ . }}
      {{- end }}
      {{- with .Values.securityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.resources }}
      resources:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      volumeMounts:
        - name: config
          mountPath: /etc/bucketport
          readOnly: true
        {{- if include "bucketport.usersSecret" . }}
        - name: users
          mountPath: /users
          readOnly: true
        {{- end }}
        {{- if include "bucketport.passwordsSecret" . }}
        - name: passwords
          mountPath: /secrets
          readOnly: true
        {{- end }}
        {{- if .Values.tls.enabled }}
        - name: tls
          mountPath: /tls
          readOnly: true
        {{- if .Values.tls.clientCASecret }}
        - name: client-ca
          mountPath: /client-ca
          readOnly: true
        {{- end }}
        {{- end }}
        {{- if .Values.cluster.enabled }}
        - name: cluster
          mountPath: /cluster
          readOnly: true
        {{- end }}
        {{- with .Values.volumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with .Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  # Whole folders and no single files: what is mounted with a subPath does not change when its Secret does.
  volumes:
    - name: config
      {{- if .Values.existingConfigMap }}
      configMap:
        name: {{ .Values.existingConfigMap }}
      {{- else }}
      secret:
        secretName: {{ include "bucketport.configSecret" . }}
        defaultMode: 0440
      {{- end }}
    {{- with include "bucketport.usersSecret" . }}
    - name: users
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- with include "bucketport.passwordsSecret" . }}
    - name: passwords
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- end }}
    {{- with include "bucketport.tlsSecret" . }}
    - name: tls
      secret:
        secretName: {{ . }}
        defaultMode: 0440
    {{- with $.Values.tls.clientCASecret }}
    - name: client-ca
      secret:
        secretName: {{ . }}
        defaultMode: 0440
        items:
          - key: ca.crt
            path: ca.crt
    {{- end }}
    {{- end }}
    {{- if .Values.cluster.enabled }}
    - name: cluster
      secret:
        secretName: {{ include "bucketport.clusterSecret" . }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.volumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $tolerations := .Values.tolerations }}
  {{- if not (include "bucketport.numbered" .) }}
  {{- /* Nobody else serves meanwhile, and Kubernetes would wait for five minutes. One without a key tolerates everything. */}}
  {{- $keys := list }}
  {{- range $tolerations }}{{ $keys = append $keys (.key | default "") }}{{ end }}
  {{- range list "node.kubernetes.io/not-ready" "node.kubernetes.io/unreachable" }}
  {{- if not (or (has . $keys) (has "" $keys)) }}
  {{- $tolerations = append $tolerations (dict "key" . "operator" "Exists" "effect" "NoExecute" "tolerationSeconds" 30) }}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- with $tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{ merge (dict) . (dict "labelSelector" (dict "matchLabels" (include "bucketport.selectorLabels" $ | fromYaml))) | toYaml | nindent 6 | trim }}
    {{- end }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
{{- end -}}
