{{/* The part of the configuration that belongs to Kubernetes: environment variables, which go before the file. */}}
{{- define "bucketport.env" -}}
{{- $families := .Values.ipFamilies -}}
{{- if contains "{ordinal}" .Values.passiveHost }}
- name: POD_INDEX
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
{{- end }}
- name: BUCKETPORT_FTP__LISTEN
  value: {{ include "bucketport.listen" (dict "families" $families "port" .Values.containerPorts.ftp) | squote }}
- name: BUCKETPORT_FTP__PASSIVE_PORTS
  value: "{{ int .Values.passivePorts.from }}-{{ int .Values.passivePorts.to }}"
- name: BUCKETPORT_FTP__PASSIVE_HOST
  value: {{ .Values.passiveHost | replace "{ordinal}" "$(POD_INDEX)" | quote }}
- name: BUCKETPORT_FTP__DRAIN_TIMEOUT
  value: {{ printf "%ds" (int .Values.drainTimeoutSeconds) }}
- name: BUCKETPORT_HTTP__LISTEN
  value: {{ include "bucketport.listen" (dict "families" (list (first $families)) "port" .Values.containerPorts.http) | fromJsonArray | first | squote }}
{{- if .Values.proxyProtocol.enabled }}
- name: BUCKETPORT_FTP__PROXY_PROTOCOL
  value: required
- name: BUCKETPORT_FTP__PROXY_TRUSTED
  value: {{ toJson .Values.proxyProtocol.trusted | squote }}
{{- end }}
{{- with .Values.tls }}
{{- if .enabled }}
- name: BUCKETPORT_FTP__TLS__MODE
  value: {{ .mode }}
- name: BUCKETPORT_FTP__TLS__CERTIFICATE
  value: /tls/tls.crt
- name: BUCKETPORT_FTP__TLS__PRIVATE_KEY
  value: /tls/tls.key
{{- if .clientCASecret }}
- name: BUCKETPORT_FTP__TLS__CLIENT_CA
  value: /client-ca/ca.crt
- name: BUCKETPORT_FTP__TLS__CLIENT_CERTIFICATES
  value: {{ .clientCertificates }}
{{- end }}
{{- if .implicit }}
- name: BUCKETPORT_FTP__IMPLICIT_TLS_LISTEN
  value: {{ include "bucketport.listen" (dict "families" $families "port" $.Values.containerPorts.implicitTls) | squote }}
{{- end }}
{{- end }}
{{- end }}
{{- if include "bucketport.usersSecret" . }}
- name: BUCKETPORT_AUTH__USERS_FILE
  value: /users/users.toml
{{- end }}
{{- if .Values.cluster.enabled }}
- name: BUCKETPORT_CLUSTER__REPLICAS
  value: {{ int .Values.cluster.replicas | quote }}
- name: BUCKETPORT_CLUSTER__ORDINAL
  valueFrom:
    fieldRef:
      fieldPath: metadata.labels['apps.kubernetes.io/pod-index']
- name: BUCKETPORT_CLUSTER__PEERS
  value: {{ printf "%s-{ordinal}.%s-headless.%s.svc.%s:%d" (include "bucketport.fullname" .) (include "bucketport.fullname" .) .Release.Namespace .Values.clusterDomain (int .Values.cluster.port) }}
- name: BUCKETPORT_CLUSTER__LISTEN
  value: {{ include "bucketport.listen" (dict "families" (list (first $families)) "port" .Values.cluster.port) | fromJsonArray | first | squote }}
- name: BUCKETPORT_CLUSTER__SECRET_FILE
  value: /cluster/secret
{{- end }}
{{- end -}}
