{{/* Names, labels and small conversions that several templates share. */}}

{{/* The release's name, with the chart's name in it once. A StatefulSet's may have 52 letters: its pods get a label of the
     name and a hash. */}}
{{- define "bucketport.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := .Values.nameOverride | default .Chart.Name -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "bucketport.selectorLabels" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bucketport.labels" -}}
{{- include "bucketport.labelsWith" (list . dict) -}}
{{- end -}}

{{/* The labels of every object and some of this one's own, each key once: the chart's own go first, then these. */}}
{{- define "bucketport.labelsWith" -}}
{{- $own := last . -}}
{{- with first . -}}
{{- $chart := dict "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- $_ := set $chart "app.kubernetes.io/version" .Chart.AppVersion -}}
{{- $_ := set $chart "app.kubernetes.io/managed-by" .Release.Service -}}
{{- mergeOverwrite (dict) .Values.commonLabels $own $chart (include "bucketport.selectorLabels" . | fromYaml) | toYaml -}}
{{- end -}}
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

{{/* Nobody has brought a configuration. */}}
{{- define "bucketport.demo" -}}
{{- if not (or .Values.config .Values.existingConfigSecret .Values.existingConfigMap) }}yes{{ end -}}
{{- end -}}

{{- define "bucketport.config" -}}
{{- if include "bucketport.demo" . -}}
# A place to try things out: what is uploaded is forgotten when the pod stops. For a bucket:
#   url = "s3://bucket/prefix"
[stores.landing]
url = "memory:///"

[[users]]
name = "demo"
password_file = "/secrets/demo"
store = "landing"
{{- else -}}
{{- trim .Values.config -}}
{{- end -}}
{{- end -}}

{{/* User to password, as JSON; an empty one is to be made up. */}}
{{- define "bucketport.passwords" -}}
{{- $passwords := ternary (dict "demo" "") dict (eq (include "bucketport.demo" .) "yes") -}}
{{- range $user, $password := .Values.passwords -}}
{{- if not (kindIs "invalid" $password) }}{{ $_ := set $passwords $user $password }}{{ end -}}
{{- end -}}
{{- toJson $passwords -}}
{{- end -}}

{{/* Empty when there are no users beside those of the configuration; so are the next two. */}}
{{- define "bucketport.usersSecret" -}}
{{- if .Values.existingUsersSecret -}}
{{- .Values.existingUsersSecret -}}
{{- else if .Values.users -}}
{{- include "bucketport.fullname" . }}-users
{{- end -}}
{{- end -}}

{{- define "bucketport.passwordsSecret" -}}
{{- if .Values.existingPasswordsSecret -}}
{{- .Values.existingPasswordsSecret -}}
{{- else if include "bucketport.passwords" . | fromJson -}}
{{- include "bucketport.fullname" . }}-passwords
{{- end -}}
{{- end -}}

{{- define "bucketport.tlsSecret" -}}
{{- if .Values.tls.enabled -}}
{{- .Values.tls.secretName | default (printf "%s-tls" (include "bucketport.fullname" .)) -}}
{{- end -}}
{{- end -}}

{{- define "bucketport.clusterSecret" -}}
{{- .Values.cluster.existingSecret | default (printf "%s-cluster" (include "bucketport.fullname" .)) -}}
{{- end -}}

{{/* The passive ports, separated by spaces, lowest first. */}}
{{- define "bucketport.passivePorts" -}}
{{- range $index, $port := untilStep (int .Values.passivePorts.from) (int (add .Values.passivePorts.to 1)) 1 }}
{{- if $index }} {{ end }}{{ $port }}
{{- end -}}
{{- end -}}

{{/* How long a pod that is told to stop goes on as before. In a cluster others bring it its data connections. */}}
{{- define "bucketport.preStopSleepSeconds" -}}
{{- if kindIs "invalid" .Values.preStopSleepSeconds }}{{ ternary 30 0 .Values.cluster.enabled }}{{ else }}{{ int .Values.preStopSleepSeconds }}{{ end -}}
{{- end -}}

{{/* How long a pod is ready before the next one goes. Balancers learn of new pods no sooner than of old ones. */}}
{{- define "bucketport.minReadySeconds" -}}
{{- if kindIs "invalid" .Values.minReadySeconds }}{{ eq (include "bucketport.numbered" .) "yes" | ternary 30 0 }}{{ else }}{{ int .Values.minReadySeconds }}{{ end -}}
{{- end -}}

{{/* When Kubernetes kills a pod that is told to stop. */}}
{{- define "bucketport.gracePeriod" -}}
{{- $stopping := add .Values.drainTimeoutSeconds (include "bucketport.preStopSleepSeconds" .) -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds }}{{ add $stopping 30 }}{{ else }}{{ int .Values.terminationGracePeriodSeconds }}{{ end -}}
{{- end -}}

{{/* What changes when `text` does, and tells nothing about it: passwords may be short, and whoever may look at pods could guess
     them from a plain checksum. Hence the function that is made to be slow. */}}
{{- define "bucketport.fingerprint" -}}
{{- derivePassword 1 "long" . "bucketport" "checksum" | sha256sum | trunc 32 -}}
{{- end -}}

{{/* Pods have names that stay, and so a number. */}}
{{- define "bucketport.numbered" -}}
{{- if or .Values.cluster.enabled .Values.servicePerReplica }}yes{{ end -}}
{{- end -}}

{{/* Addresses to listen on at `port`, one for each family, as a TOML list. */}}
{{- define "bucketport.listen" -}}
{{- $addresses := list -}}
{{- range .families -}}
{{- $addresses = append $addresses (printf "%s:%d" (eq . "IPv6" | ternary "[::]" "0.0.0.0") (int $.port)) -}}
{{- end -}}
{{- toJson $addresses -}}
{{- end -}}
