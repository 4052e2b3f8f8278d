{{/* The release's name, with the chart's name in it once; short enough for a label and a DNS name. */}}
{{- define "bucketport.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "bucketport.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bucketport.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "bucketport.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "bucketport.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "bucketport.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "bucketport.configSecret" -}}
{{- .Values.existingConfigSecret | default (printf "%s-config" (include "bucketport.fullname" .)) -}}
{{- end -}}

{{- define "bucketport.passwordsSecret" -}}
{{- .Values.existingPasswordsSecret | default (printf "%s-passwords" (include "bucketport.fullname" .)) -}}
{{- end -}}

{{/* The passive ports, one a line, lowest first; an unusable range stops the install with a reason. */}}
{{- define "bucketport.passivePorts" -}}
{{- $from := int .Values.passivePorts.from -}}
{{- $to := int .Values.passivePorts.to -}}
{{- if or (lt $from 1024) (gt $to 65535) (lt $to $from) -}}
{{- fail (printf "passivePorts: %d to %d is not a range of ports between 1024 and 65535" $from $to) -}}
{{- end -}}
{{- range untilStep $from (int (add $to 1)) 1 }}
{{ . }}
{{- end -}}
{{- end -}}
