"""The chart as Helm, Kubernetes, the gateway and an operator see it.

Each values file in the chart's `ci/` is rendered by both versions of Helm. What comes out is compared with golden files,
validated as three versions of Kubernetes would, and read the way an operator reads it; the gateway checks its configuration.
"""

import collections, copy, difflib, functools, json, re, shutil

import jsonschema, pytest, yaml

import chart, cluster
from chart import CHART, HELMS, KUBERNETES, MATRIX, ROOT, of, only, pod, workload

# What values files in `ci/` say that somebody else makes.
NOT_OURS = {
    "existing": {"ftp-config", "ftp-users", "ftp-passwords", "ftp-store-keys", "registry"},
    "tls": {"ftp-example-com", "ftp-clients"},
    "cluster": {"ftp-cluster"},
    "dual-stack": {"ftp-cluster", "ftp-example-com"},
    "everything": {"ftp-google"},
}

each_case = pytest.mark.parametrize("name", MATRIX)
each_helm = pytest.mark.parametrize("which", HELMS)


# Helm


@each_helm
@each_case
def test_lint(which, name):
    linted = chart.helm(which, "lint", "--strict", "--values", chart.values_file(name), "--kube-version", KUBERNETES[0])
    assert linted.returncode == 0, linted.stdout + linted.stderr


@each_helm
def test_lint_without_values(which):
    linted = chart.helm(which, "lint", "--strict", "--kube-version", KUBERNETES[0])
    assert linted.returncode == 0, linted.stdout + linted.stderr


@pytest.mark.skipif(len(HELMS) < 2, reason="one version of Helm")
@each_case
def test_both_versions_of_helm_render_the_same(name):
    assert of(name, which="helm 3") == of(name, which="helm 4")


def test_an_old_cluster_is_refused():
    with pytest.raises(RuntimeError, match="requires kubeVersion"):
        chart.template("helm 4", "--values", str(chart.values_file("minimal")), kubernetes="1.29.14")


# Kubernetes


@pytest.mark.parametrize("version", KUBERNETES)
@each_case
def test_kubernetes_takes_every_object(name, version):
    for thing in of(name, kubernetes=version):
        chart.validate(thing, version)


def test_every_kind_is_validated_strictly():
    """A field that does not exist is refused wherever an object has a specification."""
    seen = set()
    for thing in (thing for name in MATRIX for thing in of(name)):
        if "spec" not in thing or thing["kind"] in seen:
            continue
        seen.add(thing["kind"])
        wrong = copy.deepcopy(thing)
        wrong["spec"]["noSuchField"] = 1
        with pytest.raises(jsonschema.ValidationError, match="noSuchField"):
            chart.validate(wrong, KUBERNETES[1])
    assert seen >= {"Certificate", "Deployment", "PodMonitor", "PrometheusRule", "Service", "ServiceMonitor", "StatefulSet"}


@each_case
def test_golden(name):
    check_text(chart.GOLDEN / f"{name}.yaml", chart.golden(name))


def check_text(path, made):
    there = path.read_text() if path.exists() else ""
    difference = difflib.unified_diff(there.splitlines(), made.splitlines(), str(path), "made now", lineterm="", n=1)
    assert there == made, "`make chart-render` writes it:\n" + "\n".join(list(difference)[:60])


# An operator


@each_case
def test_names_are_unique_and_short_enough(name):
    names = collections.Counter(map(chart.identity, of(name)))
    assert [key for key, count in names.items() if count > 1] == []
    for kind, text in names:
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", text) and len(text) <= (52 if kind == "StatefulSet" else 63), text


def test_long_release_names_are_cut():
    options = ["--values", str(chart.values_file("cluster")), "--set", f"fullnameOverride={'a' * 80}"]
    for kind, text in map(chart.identity, chart.objects(*options)):
        assert len(text) <= (52 if kind == "StatefulSet" else 63), (kind, text)


@each_case
def test_objects_find_each_other(name):
    things = of(name)
    labels = pod(things)["metadata"]["labels"]
    spec = pod(things)["spec"]
    ports = {port["name"]: port["containerPort"] for container in spec["containers"] for port in container.get("ports", [])}
    ours = collections.defaultdict(set)
    for kind, text in map(chart.identity, things):
        ours[kind].add(text)

    def selects(selector):
        own = {key: value for key, value in selector.items() if key != "statefulset.kubernetes.io/pod-name"}
        return own.items() <= labels.items()

    for thing in things:
        kind, inside = thing["kind"], thing.get("spec", {})
        if kind == "Service":
            assert selects(inside["selector"]), thing["metadata"]["name"]
            assert all(port["targetPort"] in ports or port["targetPort"] in ports.values() for port in inside["ports"])
        if kind in ("Deployment", "StatefulSet", "PodDisruptionBudget", "PodMonitor"):
            assert selects(inside["selector"]["matchLabels"])
        if kind == "NetworkPolicy":
            assert selects(inside["podSelector"]["matchLabels"])
            let_in = {port["port"] for rule in inside["ingress"] for port in rule["ports"]}
            assert let_in <= set(ports.values())
            assert {ports[each] for each in ("ftp", "ftps", "cluster") if each in ports} <= let_in
        if kind == "StatefulSet":
            assert inside["serviceName"] in ours["Service"]
        if kind == "HorizontalPodAutoscaler":
            target = inside["scaleTargetRef"]
            assert target["name"] in ours[target["kind"]] and "replicas" not in workload(things)["spec"]
        if kind == "ServiceMonitor":
            found = [
                service for service in things if service["kind"] == "Service"
                and inside["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
            ]
            (service,) = found
            assert inside["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
        if kind == "PodMonitor":
            assert inside["podMetricsEndpoints"][0]["port"] in ports
    volumes = {volume["name"]: volume for volume in spec.get("volumes", [])}
    mounts = [mount for container in spec["containers"] for mount in container.get("volumeMounts", [])]
    assert {mount["name"] for mount in mounts} == volumes.keys()
    assert all("subPath" not in mount for mount in mounts), "is never updated"
    assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
    issued = {thing["spec"]["secretName"] for thing in things if thing["kind"] == "Certificate"}
    needed = {volume["secret"]["secretName"] for volume in volumes.values() if "secret" in volume}
    needed |= {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume}
    needed |= {source["secretRef"]["name"] for source in chart.gateway(things).get("envFrom", [])}
    needed |= {secret["name"] for secret in spec.get("imagePullSecrets", [])}
    assert needed - ours["Secret"] - ours["ConfigMap"] - issued == NOT_OURS.get(name, set())
    assert spec["serviceAccountName"] in ours["ServiceAccount"] or name == "existing"


@each_case
def test_nothing_of_a_pod_is_named_twice(name):
    for container in pod(of(name))["spec"]["containers"]:
        for part, key in [("env", "name"), ("ports", "name"), ("ports", "containerPort"), ("volumeMounts", "mountPath")]:
            named = [item[key] for item in container.get(part, [])]
            assert len(set(named)) == len(named), part


@each_case
def test_every_port_of_the_passive_range_is_there(name):
    things = of(name)
    first, last = map(int, chart.environment(things)["BUCKETPORT_FTP__PASSIVE_PORTS"].split("-"))
    expected = list(range(first, last + 1))
    assert chart.passive(chart.gateway(things)["ports"], "containerPort") == expected
    services = chart.client_services(things)
    assert services
    for service in services:
        ports = service["spec"]["ports"]
        assert chart.passive(ports, "port") == expected
        assert chart.passive(ports, "targetPort") == expected
        if service["spec"]["type"] == "NodePort":
            assert chart.passive(ports, "nodePort") == expected
        else:
            assert not any("nodePort" in port for port in ports)
    for policy in (thing for thing in things if thing["kind"] == "NetworkPolicy"):
        ports = [port for rule in policy["spec"]["ingress"] for port in rule["ports"]]
        assert [(port["port"], port["endPort"]) for port in ports if "endPort" in port] == [(first, last)]


@each_case
def test_pods_are_confined(name):
    spec = pod(of(name))["spec"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["automountServiceAccountToken"] is False
    own = chart.gateway(of(name))["securityContext"]
    assert own == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


@each_case
def test_kubernetes_waits_for_the_drain(name):
    spec, container = pod(of(name))["spec"], chart.gateway(of(name))
    drain = int(chart.environment(of(name))["BUCKETPORT_FTP__DRAIN_TIMEOUT"].removesuffix("s"))
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert spec["terminationGracePeriodSeconds"] >= drain + sleep + 21
    rollout = workload(of(name))["spec"]
    if rollout.get("strategy", {}).get("type") == "Recreate":
        assert rollout["progressDeadlineSeconds"] == spec["terminationGracePeriodSeconds"] + 300
    else:
        assert "progressDeadlineSeconds" not in rollout


@each_case
def test_kinds_of_workload(name):
    things = of(name)
    kind, spec = workload(things)["kind"], workload(things)["spec"]
    clustered = "BUCKETPORT_CLUSTER__ORDINAL" in chart.environment(things)
    assert kind == ("StatefulSet" if clustered or name == "service-per-replica" else "Deployment")
    assert all("sessionAffinity" not in service["spec"] for service in chart.client_services(things))
    if kind == "StatefulSet":
        assert spec["podManagementPolicy"] == "Parallel"
        (headless,) = [each for each in things if each["metadata"]["name"] == spec["serviceName"]]
        assert headless["spec"]["clusterIP"] == "None" and headless["spec"]["publishNotReadyAddresses"] is True
    else:
        assert spec["replicas"] == 1
    if clustered:
        peers = chart.environment(things)["BUCKETPORT_CLUSTER__PEERS"]
        headless = spec["serviceName"]
        assert peers == f"{workload(things)['metadata']['name']}-{{ordinal}}.{headless}.ftp.svc.cluster.local:7021"


@each_case
def test_a_pod_goes_when_the_balancer_sends_others(name):
    things = of(name)
    lifecycle = chart.gateway(things).get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})
    clustered = "BUCKETPORT_CLUSTER__ORDINAL" in chart.environment(things)
    expected = 240 if name.startswith("aws-") else 30 if clustered else 0
    assert lifecycle == {"preStop": {"sleep": {"seconds": expected}}}
    ready = workload(things)["spec"].get("minReadySeconds", 0)
    assert ready == {"cluster": 45, "dual-stack": 30, "service-per-replica": 30}.get(name, 0)


def test_a_strategy_of_ones_own_is_not_taken_for_another():
    own = ["--set", "hostNetwork=true,service.type=ClusterIP,updateStrategy.rollingUpdate.maxSurge=0"]
    spec = workload(chart.objects(*MINIMAL, *own))["spec"]
    assert spec["strategy"] == {"rollingUpdate": {"maxSurge": 0}} and "progressDeadlineSeconds" not in spec


def test_a_store_that_is_away_lets_no_cluster_go_at_once():
    for name, policy in [("minimal", "AlwaysAllow"), ("cluster", "IfHealthyBudget"), ("everything", "IfHealthyBudget")]:
        assert only(of(name), "PodDisruptionBudget")["spec"]["unhealthyPodEvictionPolicy"] == policy


def test_no_sleep_and_no_wait_can_be_asked_for():
    things = chart.objects(*MINIMAL, "--set", "cluster.enabled=true,preStopSleepSeconds=0,minReadySeconds=0")
    assert "lifecycle" not in chart.gateway(things) and "minReadySeconds" not in workload(things)["spec"]


def test_a_balancer_of_aws_leaves_transfers_alone():
    """By default it resets them when their pod is not ready, as one that drains or whose store is away."""
    for name in ("aws-nlb", "aws-nlb-proxy"):
        things = of(name)
        (service,) = chart.client_services(things)
        text = service["metadata"]["annotations"]["service.beta.kubernetes.io/aws-load-balancer-target-group-attributes"]
        attributes = dict(each.split("=") for each in text.split(","))
        unhealthy = "target_health_state.unhealthy"
        assert attributes[f"{unhealthy}.connection_termination.enabled"] == "false"
        drain = chart.environment(things)["BUCKETPORT_FTP__DRAIN_TIMEOUT"]
        assert attributes[f"{unhealthy}.draining_interval_seconds"] + "s" == drain


def test_a_label_that_is_given_twice_is_there_once():
    labels = "commonLabels.a=1,service.labels.a=2,podLabels.a=3,metrics.podMonitor.labels.a=4"
    own = "commonLabels.app\\.kubernetes\\.io/name=mine"
    options = ["--set-string", labels, "--set-string", own, "--set", "metrics.podMonitor.enabled=true"]
    things = chart.objects(*MINIMAL, *options)
    found = {thing["kind"]: thing["metadata"]["labels"]["a"] for thing in things}
    assert found["Service"] == "2" and found["PodMonitor"] == "4" and found["Deployment"] == "1"
    assert pod(things)["metadata"]["labels"]["a"] == "3"
    assert {thing["metadata"]["labels"]["app.kubernetes.io/name"] for thing in things} == {"bucketport"}


def test_each_replica_has_a_service_and_says_so():
    things = of("service-per-replica")
    services = chart.client_services(things)
    assert [service["spec"]["selector"]["statefulset.kubernetes.io/pod-name"] for service in services] \
        == [f"{workload(things)['metadata']['name']}-{ordinal}" for ordinal in range(workload(things)["spec"]["replicas"])]
    names = [service["metadata"]["annotations"]["external-dns.alpha.kubernetes.io/hostname"] for service in services]
    pods = [chart.environment(things, {"apps.kubernetes.io/pod-index": str(each)}) for each in (0, 1)]
    told = [variables["BUCKETPORT_FTP__PASSIVE_HOST"] for variables in pods]
    assert names == told == ["ftp-0.example.com", "ftp-1.example.com"]
    assert only(things, "Certificate")["spec"]["dnsNames"] == told


def test_annotations_of_proxy_protocol_and_configuration_go_together():
    for name in MATRIX:
        (first, *_) = chart.client_services(of(name))
        annotations = first["metadata"].get("annotations", {})
        balancer = any("proxy-protocol" in key for key in annotations)
        gateway = chart.environment(of(name)).get("BUCKETPORT_FTP__PROXY_PROTOCOL") == "required"
        assert balancer == gateway, name
        assert gateway == ("BUCKETPORT_FTP__PROXY_TRUSTED" in chart.environment(of(name)))
        # A node that forwards puts its own address in place of the client's.
        assert gateway or first["spec"].get("externalTrafficPolicy", "Local") == "Local", name


def test_one_replica_leaves_a_node_that_fails():
    def seconds(*options):
        tolerations = pod(chart.objects(*MINIMAL, *options))["spec"].get("tolerations", [])
        return {each.get("key", "any").rpartition("/")[2]: each.get("tolerationSeconds") for each in tolerations}

    assert seconds() == {"not-ready": 30, "unreachable": 30}
    # The others serve, and a StatefulSet's pod is not replaced by that.
    assert seconds("--set", "cluster.enabled=true") == {}
    own = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 600}
    assert seconds("--set-json", f"tolerations=[{json.dumps(own)}]") == {"unreachable": 600, "not-ready": 30}
    assert seconds("--set-json", 'tolerations=[{"operator": "Exists"}]') == {"any": None}


MINIMAL = ["--values", str(chart.values_file("minimal"))]


SERVER = ["--dry-run=server", "--disable-openapi-validation", "--kube-apiserver"]
# Kinds that the cluster of these tests does not know.
NOTHING_CUSTOM = [
    "--set",
    "metrics.podMonitor.enabled=false,metrics.prometheusRule.enabled=false,metrics.dashboard.enabled=false,"
    "networkPolicy.enabled=false,tls.enabled=false,tls.certManager.enabled=false",
]


def annotations(*options):
    return pod(chart.objects(*MINIMAL, *options))["metadata"]["annotations"]


def test_new_pods_only_for_what_is_not_read_again():
    usual = annotations()
    assert {"checksum/config", "checksum/passwords"} <= usual.keys()
    config = annotations("--set", "config=[stores.a]\nurl = \"memory:///\"")
    assert config["checksum/config"] != usual["checksum/config"]
    passwords = annotations("--set", "passwords.demo=other")
    assert passwords["checksum/passwords"] != usual["checksum/passwords"]
    assert annotations("--set", "users=[[users]]", "--set", "tls.enabled=true,tls.secretName=a") == usual
    assert "checksum/config" not in annotations("--set", "existingConfigSecret=a")
    assert "checksum/passwords" not in annotations("--set", "existingPasswordsSecret=a")


def test_a_new_version_of_the_chart_alone_replaces_no_pod(tmp_path):
    copied = shutil.copytree(CHART, tmp_path / "bucketport")
    (copied / "Chart.yaml").write_text(re.sub(r"(?m)^version: .*", "version: 9.9.9", (CHART / "Chart.yaml").read_text()))
    assert pod(chart.objects(*MINIMAL, chart=copied)) == pod(of("minimal"))
    assert chart.objects(*MINIMAL, chart=copied) != of("minimal")


def test_secrets_that_nobody_gave_are_random():
    def made(key, *options):
        chart.template.cache_clear()
        things = chart.objects("--set", "image.repository=a", *options)
        (secret,) = [each for each in things if each["kind"] == "Secret" and key in chart.secret_data(each)]
        return chart.secret_data(secret)[key]

    for key, options in [("demo", []), ("secret", ["--set", "cluster.enabled=true"])]:
        assert re.fullmatch(r"[A-Za-z0-9]{24,}", made(key, *options))
        assert made(key, *options) != made(key, *options)


def test_a_configuration_of_ones_own_has_no_user_demo():
    def made(*options):
        things = chart.objects("--set", "image.repository=a", *options)
        data = {key: text for each in things if each["kind"] == "Secret" for key, text in chart.secret_data(each).items()}
        return data.keys() - {"bucketport.toml"}, [mount["mountPath"] for mount in chart.gateway(things)["volumeMounts"]]

    own = "config=[stores.a]\nurl = \"memory:///\""
    assert made() == ({"demo"}, ["/etc/bucketport", "/secrets"])
    for options in (own, "existingConfigSecret=a", "existingConfigMap=a"):
        assert made("--set", options) == (set(), ["/etc/bucketport"])
    assert made("--set", own, "--set", "passwords.acme=a") == ({"acme"}, ["/etc/bucketport", "/secrets"])
    # What the first versions of the chart needed.
    assert made("--set", own, "--set", "passwords.demo=null") == (set(), ["/etc/bucketport"])


@each_helm
def test_secrets_that_were_made_up_are_kept(which):
    there = {"bucketport-passwords": {"demo": "made up", "other": "before"}, "bucketport-cluster": {"secret": "made up too"}}
    with cluster.with_objects(there) as address:
        options = [*SERVER, address]
        values = ["--set", "image.repository=a,cluster.enabled=true,passwords.other=given,passwords.new="]
        things = chart.objects(*options, *values, which=which)
    kept = {thing["metadata"]["name"]: chart.secret_data(thing) for thing in things if thing["kind"] == "Secret"}
    assert kept["bucketport-cluster"] == there["bucketport-cluster"]
    passwords = kept["bucketport-passwords"]
    assert re.fullmatch("[A-Za-z0-9]{24}", passwords.pop("new"))
    assert passwords == {"demo": "made up", "other": "given"}


@each_helm
@pytest.mark.parametrize("replicas", [None, 0, 3])
def test_autoscaling_begins_with_the_pods_that_are_there(which, replicas):
    with cluster.with_objects({}, replicas) as address:
        things = chart.objects(*SERVER, address, "--values", str(chart.values_file("cluster")), *NOTHING_CUSTOM, which=which)
    assert workload(things)["spec"].get("replicas") == replicas


def test_the_dashboard_and_the_alerts_are_those_of_the_files():
    things = of("everything")
    (dashboard,) = [each for each in things if each["kind"] == "ConfigMap" and "bucketport.json" in each.get("data", {})]
    file = json.loads((CHART / "dashboards/bucketport.json").read_text())
    assert json.loads(dashboard["data"]["bucketport.json"]) == file
    rules = yaml.safe_load((CHART / "rules.yaml").read_text())["groups"]
    ours = yaml.safe_load(chart.values_file("everything").read_text())["metrics"]["prometheusRule"]["extraGroups"]
    # Where the runbooks are stands in the file itself, as a path in this repository.
    assert only(things, "PrometheusRule")["spec"]["groups"] == rules + ours
    # Dashboards are found by their label, in the namespace where they are looked for.
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1" and dashboard["metadata"]["namespace"] == "monitoring"


def test_families_of_addresses():
    def families(*options):
        things = chart.objects(*MINIMAL, *options)
        (service,) = chart.client_services(things)
        return chart.environment(things)["BUCKETPORT_FTP__LISTEN"], service["spec"].get("ipFamilies")

    assert families() == ('["0.0.0.0:2121"]', None)
    assert families("--set", "ipFamilies={IPv6}") == ('["[::]:2121"]', ["IPv6"])
    both = ["--set", "ipFamilies={IPv6,IPv4}"]
    # Without a policy Kubernetes takes one family.
    assert families(*both) == ('["[::]:2121","0.0.0.0:2121"]', ["IPv6"])
    assert families(*both, "--set", "service.ipFamilyPolicy=PreferDualStack")[1] == ["IPv6", "IPv4"]


def ingress(*options):
    policy = only(chart.objects(*MINIMAL, "--set", "networkPolicy.enabled=true", *options), "NetworkPolicy")
    return {rule["ports"][0]["port"]: rule.get("from") for rule in policy["spec"]["ingress"]}


def test_a_network_policy_without_peers():
    assert ingress() == {2121: None, 8080: [{"namespaceSelector": {}}]}
    assert ingress("--set-json", "networkPolicy.http=[]") == {2121: None}
    pods = {"podSelector": {"matchLabels": pod(of("cluster"))["metadata"]["labels"]}}
    assert ingress("--set", "cluster.enabled=true")[7021] == [pods]


def test_a_network_policy_lets_names_and_credentials_through():
    def egress(*options):
        options = ["networkPolicy.enabled=true,networkPolicy.egress.metadataServices=true", *options]
        sets = [part for each in options for part in ("--set", each)]
        rules = only(chart.objects(*MINIMAL, *sets), "NetworkPolicy")["spec"]["egress"]
        return {rule["ports"][0]["port"]: (rule["ports"], [peer["ipBlock"]["cidr"] for peer in rule.get("to", [])]) for rule in rules}

    dns, everywhere = egress()[53]
    assert [(each["port"], each["protocol"]) for each in dns] == [(53, "UDP"), (53, "TCP"), (5353, "UDP"), (5353, "TCP")]
    assert everywhere == []
    older = ["169.254.169.254/32", "169.254.170.23/32"]
    assert egress()[80][1] == older
    assert egress("ipFamilies={IPv6}")[80][1] == [*older, "fd00:ec2::254/128", "fd00:ec2::23/128"]


# The gateway

BINARY = ROOT / "target/debug/bucketport"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    assert chart.run(BINARY, "self-signed", "--folder", folder).returncode == 0
    return {name: (folder / name).read_text() for name in ("tls.crt", "tls.key")}


def check(things, folder, elsewhere):
    """`bucketport check` with the files and variables that the gateway's container would have."""
    files = {thing["metadata"]["name"]: chart.secret_data(thing) for thing in things if thing["kind"] in ("Secret", "ConfigMap")}
    volumes = {volume["name"]: volume for volume in pod(things)["spec"]["volumes"]}
    places = {}
    for mount in chart.gateway(things)["volumeMounts"]:
        volume = volumes[mount["name"]]
        source = volume.get("secret", {}).get("secretName") or volume.get("configMap", {}).get("name")
        content = files.get(source, elsewhere.get(source, {}))
        place = folder / mount["name"]
        place.mkdir()
        places[mount["mountPath"]] = place
        for file, text in content.items():
            (place / file).write_text(text)

    def placed(text):
        for path, place in places.items():
            text = re.sub(rf"(?<![\w/.]){re.escape(path)}/", f"{place}/", text)
        return text

    for path in folder.glob("*/*.toml"):
        path.write_text(placed(path.read_text()))
    variables = {name: placed(value) for name, value in chart.environment(things).items()}
    config = placed(chart.gateway(things)["args"][-1])
    return chart.run(BINARY, "check", "--config", config, env=variables)


GOOGLE_USER = {"type": "authorized_user", "client_id": "a", "client_secret": "b", "refresh_token": "c"}
HASH = "$argon2id$v=19$m=19456,t=2,p=1$aJ+gQoieIPY2y64G/R4Bgg$D4Vj7S4RhSPbauQ5HgYqpFcuQAYXdTyZxhmumcC6cO0"


@each_case
def test_the_gateway_accepts_its_configuration(name, tmp_path, certificate):
    elsewhere = {
        "ftp-config": {"bucketport.toml": "[stores.landing]\nurl = \"memory:///\"\n"},
        "ftp-users": {"users.toml": f"[[users]]\nname = \"acme\"\npassword_hash = \"{HASH}\"\n"},
        "ftp-cluster": {"secret": "a secret of more than thirty-two letters"},
        "ftp-clients": {"ca.crt": certificate["tls.crt"]},
        "ftp-example-com": certificate,
        "bucketport-tls": certificate,
        "ftp-google": {"key.json": json.dumps(GOOGLE_USER)},
    }
    checked = check(of(name), tmp_path, elsewhere)
    assert checked.returncode == 0, checked.stderr
    assert checked.stderr == ""


def test_the_gateway_is_asked_at_all(tmp_path, certificate):
    wrong = chart.objects(*MINIMAL, "--set", "config=[stores.landing]\nurl = \"memory:///\"\nwrong = 1")
    checked = check(wrong, tmp_path, {})
    assert checked.returncode == 64 and "stores.landing.wrong" in checked.stderr


# What is refused

CLUSTER = {"cluster": {"enabled": True}}
NODE_PORT = {"passivePorts": {"from": 30040, "to": 30059}}
REFUSED = [
    ({"image": {"repository": ""}}, "image.repository: is required"),
    ({"nameOverride": "FTP"}, "/nameOverride"),
    ({"passivePorts": {"from": 50010, "to": 50000}}, "passivePorts: 50010 to 50000 is empty"),
    ({"passivePorts": {"from": 20000, "to": 60000}}, "passivePorts: 20000 to 60000 are 40001 ports"),
    ({"passivePorts": {"from": 1023}}, "/passivePorts/from"),
    ({"passivePorts": {"to": 65536}}, "/passivePorts/to"),
    ({"passivePorts": {"from": 2100, "to": 2130}}, "containerPorts.ftp: 2121 is one of passivePorts"),
    ({"passivePorts": {"from": 8080, "to": 8081}}, "containerPorts.http: 8080 is one of passivePorts"),
    ({"containerPorts": {"http": 2121}}, "is containerPorts.ftp already"),
    (CLUSTER | {"passivePorts": {"from": 7000, "to": 7100}}, "cluster.port: 7021 is one of passivePorts"),
    ({"service": {"port": 50001}}, "service.port: 50001 is one of passivePorts"),
    (NODE_PORT | {"service": {"type": "NodePort", "nodePort": 30040}}, "service.nodePort: 30040 is one of passivePorts"),
    (
        NODE_PORT | {"service": {"type": "NodePort", "implicitTlsNodePort": 30059}},
        "service.implicitTlsNodePort: 30059 is one of passivePorts",
    ),
    (
        NODE_PORT | {"service": {"type": "NodePort", "nodePort": 30021, "implicitTlsNodePort": 30021}},
        "service.implicitTlsNodePort: 30021 is service.nodePort already",
    ),
    ({"replicaCount": 2}, "replicaCount: 2 pods behind one Service need cluster.enabled"),
    (CLUSTER | {"servicePerReplica": True}, "servicePerReplica: with cluster.enabled"),
    (CLUSTER | {"hostNetwork": True}, "cluster.enabled: not with hostNetwork"),
    (CLUSTER | {"replicaCount": 2}, "config: each pod has a store in memory of its own"),
    (CLUSTER | {"autoscaling": {"enabled": True}}, "config: each pod has a store in memory of its own"),
    (
        {"servicePerReplica": True, "replicaCount": 2, "config": "[stores.a]\n  url = 'memory:///'"},
        "config: each pod has a store in memory of its own",
    ),
    (CLUSTER | {"updateStrategy": {"type": "Recreate"}}, "updateStrategy.type: Recreate, and a StatefulSet has"),
    ({"updateStrategy": {"type": "OnDelete"}}, "updateStrategy.type: OnDelete, and a Deployment has"),
    ({"service": {"annotations": {"a": "{ordinal}"}}}, "service.annotations: {ordinal} is for servicePerReplica"),
    (CLUSTER | {"replicaCount": 5}, "replicaCount: 5 is more than cluster.replicas, 4"),
    (CLUSTER | {"passivePorts": {"to": 50002}}, "passivePorts: 3 ports are fewer than cluster.replicas, 4"),
    ({"servicePerReplica": True, "service": {"type": "NodePort"}}, "servicePerReplica: not with service.type NodePort"),
    ({"servicePerReplica": True, "hostNetwork": True}, "servicePerReplica: not with hostNetwork"),
    ({"servicePerReplica": True, "replicaCount": 2, "passiveHost": "a.example.com"}, "passiveHost: with servicePerReplica"),
    (
        {"servicePerReplica": True, "replicaCount": 2, "service": {"loadBalancerIP": "192.0.2.21"}},
        "service.loadBalancerIP: with servicePerReplica",
    ),
    ({"passiveHost": "ftp-{ordinal}.example.com"}, "passiveHost: {ordinal} is for servicePerReplica"),
    ({"passiveHost": "$(HOSTNAME)"}, "/passiveHost"),
    ({"autoscaling": {"enabled": True}}, "autoscaling: needs cluster.enabled"),
    (CLUSTER | {"autoscaling": {"enabled": True, "maxReplicas": 5}}, "autoscaling.maxReplicas: 5 is more than cluster.replicas"),
    (CLUSTER | {"autoscaling": {"enabled": True, "minReplicas": 5}}, "autoscaling.minReplicas: 5 is more than"),
    (
        CLUSTER | {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": 0}},
        "autoscaling: needs targetCPUUtilizationPercentage",
    ),
    ({"terminationGracePeriodSeconds": 300}, "terminationGracePeriodSeconds: 300 is too short"),
    ({"terminationGracePeriodSeconds": 320}, "terminationGracePeriodSeconds: 320 is too short"),
    (CLUSTER | {"terminationGracePeriodSeconds": 350}, "terminationGracePeriodSeconds: 350 is too short"),
    ({"preStopSleepSeconds": 60, "terminationGracePeriodSeconds": 380}, "terminationGracePeriodSeconds: 380 is too short"),
    ({"minReadySeconds": 1}, "minReadySeconds: not with one replica"),
    ({"servicePerReplica": True, "replicaCount": 0}, "replicaCount: 0 would remove the Services"),
    ({"drainTimeoutSeconds": 0}, "/drainTimeoutSeconds"),
    ({"existingConfigSecret": "a", "existingConfigMap": "b"}, "existingConfigMap: only one of"),
    ({"tls": {"enabled": True}}, "tls.secretName: is required"),
    ({"tls": {"enabled": True, "secretName": "a", "mode": "off"}}, "/tls/mode"),
    ({"tls": {"implicit": True}}, "tls.enabled: is false, and other values of tls are set"),
    (
        {"tls": {"enabled": True, "secretName": "a", "clientCASecret": "b", "mode": "optional"}},
        "tls.clientCertificates: required needs tls.mode required",
    ),
    ({"tls": {"enabled": True, "certManager": {"enabled": True}}}, "tls.certManager.issuerRef.name: is required"),
    (
        {"tls": {"enabled": True, "certManager": {"enabled": True, "issuerRef": {"name": "a"}}}},
        "tls.certManager.dnsNames: is required, because passiveHost is no DNS name",
    ),
    (
        {"tls": {"enabled": True, "secretName": "a", "implicit": True}, "service": {"implicitTlsPort": 21}},
        "service.implicitTlsPort: 21 is service.port already",
    ),
    ({"proxyProtocol": {"enabled": True}}, "proxyProtocol.trusted: is required"),
    ({"proxyProtocol": {"enabled": True, "trusted": ["everywhere"]}}, "/proxyProtocol/trusted/0"),
    (
        {"metrics": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
        "metrics: with both podMonitor and serviceMonitor everything is counted twice",
    ),
    ({"networkPolicy": {"enabled": True}, "hostNetwork": True}, "networkPolicy: has no effect on pods with hostNetwork"),
    ({"podDisruptionBudget": {"maxUnavailable": None}}, "podDisruptionBudget: needs maxUnavailable or minAvailable"),
    ({"podDisruptionBudget": {"minAvailable": 1}}, "podDisruptionBudget.minAvailable: 1 of 1 pods lets none go"),
    ({"podDisruptionBudget": {"minAvailable": "100%"}}, "podDisruptionBudget.minAvailable: 100% of 1 pods lets none go"),
    (
        CLUSTER | {"autoscaling": {"enabled": True}, "podDisruptionBudget": {"minAvailable": 2}},
        "podDisruptionBudget.minAvailable: 2 of 2 pods lets none go",
    ),
    (CLUSTER | {"autoscaling": {"enabled": True}}, "resources.requests.cpu: 100m is less than 500m"),
    (
        CLUSTER | {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": 0.25}}},
        "resources.requests.cpu: 0.25 is less than 500m",
    ),
    (
        CLUSTER | {"autoscaling": {"enabled": True}, "resources": {"requests": {"cpu": None}}},
        "resources.requests.cpu: 0 is less than 500m",
    ),
    (
        {"env": [{"name": "BUCKETPORT_FTP__DRAIN_TIMEOUT", "value": "1h"}]},
        "env: BUCKETPORT_FTP__DRAIN_TIMEOUT is set by the chart",
    ),
    ({"podAnnotations": {"a": 1}}, "/podAnnotations/a"),
    # Of the chart's first version, and no longer there.
    ({"service": {"sessionAffinity": "ClientIP"}}, "sessionAffinity"),
    ({"sysctls": []}, "sysctls"),
]


@each_helm
@pytest.mark.parametrize("values, message", REFUSED, ids=[message[:50] for _, message in REFUSED])
def test_refused(which, values, message, tmp_path):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(RuntimeError) as said:
        chart.template(which, *MINIMAL, "--values", str(file))
    # One version names values as /a/b, the other as a.b.
    assert message in str(said.value) or message[1:].replace("/", ".") in str(said.value), said.value


@each_helm
def test_a_name_that_no_service_can_have_is_refused(which):
    with pytest.raises(RuntimeError, match="fullnameOverride: is required, because a Service cannot be named 7ftp-bucketport"):
        chart.template(which, *MINIMAL, release="7ftp")
    chart.template(which, *MINIMAL, "--set", "fullnameOverride=ftp", release="7ftp")


def test_replicas_that_are_scaled_by_nothing_in_particular_need_no_processor():
    options = ["cluster.enabled=true", "config=[stores.a]\nurl = \"s3://a\"", "autoscaling.enabled=true"]
    scaled = ["autoscaling.targetCPUUtilizationPercentage=0", "autoscaling.targetSessionsPerPod=100"]
    sets = [part for each in options + scaled for part in ("--set", each)]
    (metric,) = only(chart.objects(*MINIMAL, *sets), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["type"] == "Pods"
    enough = [part for each in [*options, "resources.requests.cpu=500m"] for part in ("--set", each)]
    (metric,) = only(chart.objects(*MINIMAL, *enough), "HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["containerResource"]["container"] == chart.gateway(of("minimal"))["name"]


def test_a_chart_above_may_switch_it_off():
    assert chart.objects(*MINIMAL, "--set", "enabled=true") == of("minimal")


def test_clients_may_have_certificates_where_they_need_no_tls():
    options = "tls.enabled=true,tls.secretName=a,tls.clientCASecret=b,tls.clientCertificates=optional,tls.mode=optional"
    variables = chart.environment(chart.objects(*MINIMAL, "--set", options))
    assert variables["BUCKETPORT_FTP__TLS__CLIENT_CERTIFICATES"] == variables["BUCKETPORT_FTP__TLS__MODE"] == "optional"


def test_an_algorithm_of_ones_own_brings_its_own_size():
    options = ["tls.enabled=true,tls.certManager.enabled=true", "tls.certManager.issuerRef.name=a", "passiveHost=a.example.com"]
    sets = [part for each in [*options, "tls.certManager.privateKey.algorithm=RSA"] for part in ("--set", each)]
    certificate = only(chart.objects(*MINIMAL, *sets), "Certificate")
    assert certificate["spec"]["privateKey"] == {"algorithm": "RSA", "rotationPolicy": "Always"}


def test_all_mistakes_are_told_at_once():
    with pytest.raises(RuntimeError) as said:
        chart.template("helm 4", "--set", "replicaCount=2,proxyProtocol.enabled=true,tls.enabled=true")
    for key in ("image.repository:", "replicaCount:", "proxyProtocol.trusted:", "tls.secretName:"):
        assert key in str(said.value)


def schema():
    return json.loads((CHART / "values.schema.json").read_text())


def defaults():
    return yaml.safe_load((CHART / "values.yaml").read_text())


def levels(described, values, path=()):
    """Each map of the values that is the chart's own: its path, what the schema says of it, and its default."""
    if "$ref" in described:
        described = schema()["definitions"][described["$ref"].rpartition("/")[2]]
    if described.get("additionalProperties") is False:
        yield path, described, values
        for key, inner in described["properties"].items():
            if isinstance(values.get(key), dict):
                yield from levels(inner, values[key], (*path, key))


def test_the_schema_knows_the_values_and_no_others():
    found = list(levels(schema(), defaults()))
    assert len(found) >= 20
    for path, described, values in found:
        known = described["properties"].keys() - ({"global", "enabled"} if not path else set())
        # A probe has a default for some of its times only.
        assert known == values.keys() or path and path[-1].endswith("Probe"), path
        assert values.keys() <= known, path
        wrong = copy.deepcopy(defaults())
        functools.reduce(lambda inner, key: inner[key], path, wrong)["noSuchValue"] = 1
        with pytest.raises(jsonschema.ValidationError, match="noSuchValue"):
            jsonschema.Draft7Validator(schema()).validate(wrong)
    jsonschema.Draft7Validator(schema()).validate(defaults())


@each_helm
def test_unknown_values_are_refused_by_helm(which):
    for value in ("noSuchValue=1", "service.noSuchValue=1", "tls.certManager.issuerRef.noSuchValue=1"):
        with pytest.raises(RuntimeError, match="noSuchValue"):
            chart.template(which, "--set", f"image.repository=a,{value}")


# Words


def notes(folder, *options):
    """NOTES.txt, which `helm template` does not show: as a ConfigMap of a copy of the chart."""
    copied = shutil.copytree(CHART, folder / "bucketport")
    (copied / "templates/NOTES.txt").rename(copied / "notes")
    made = "kind: ConfigMap\nmetadata: {name: notes}\ndata:\n  text: {{ tpl (.Files.Get \"notes\") . | toJson }}\n"
    (copied / "templates/notes.yaml").write_text(made)
    (found,) = [each for each in chart.objects(*options, chart=copied) if each["metadata"]["name"] == "notes"]
    return found["data"]["text"]


@each_case
def test_notes_say_how_to_reach_it(name, tmp_path):
    text = notes(tmp_path, "--values", str(chart.values_file(name)))
    things = of(name)
    service = chart.client_services(things)[0]
    assert f"{service['metadata']['name']}.ftp.svc.cluster.local:21" in text
    assert (f"get service {service['metadata']['name']} --watch" in text) == (service["spec"]["type"] == "LoadBalancer")
    assert f"rollout status {workload(things)['kind'].lower()} {workload(things)['metadata']['name']}" in text
    told = chart.environment(things)["BUCKETPORT_FTP__PASSIVE_HOST"]
    inside = service["spec"]["type"] == "ClusterIP"
    assert ("passiveHost is \"auto\"" in text) == (told == "auto" and not inside)
    assert "{{" not in text and "<no value>" not in text


def test_notes_warn_of_nodes_that_hide_clients(tmp_path):
    told = "externalTrafficPolicy is \"Cluster\" without proxyProtocol"
    assert told in notes(tmp_path / "a", *MINIMAL, "--set", "service.externalTrafficPolicy=Cluster")
    assert told not in notes(tmp_path / "b", *MINIMAL)
    assert told not in notes(tmp_path / "c", "--values", str(chart.values_file("azure-private-link")))


@pytest.mark.parametrize("password", ["", "change-me"])
def test_notes_say_where_a_random_password_is(password, tmp_path):
    text = notes(tmp_path, *MINIMAL, "--set", f"passwords.demo={password}")
    how = "get secret bucketport-passwords --output jsonpath='{.data.demo}' | base64 --decode"
    assert (how in text) == (password == "")


def test_the_readme_is_that_of_the_values():
    check_text(CHART / "README.md", chart.readme())


def test_plain_manifests_are_those_of_the_chart():
    check_text(ROOT / "deploy/kubernetes/bucketport.yaml", chart.plain_manifests())


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_the_plain_manifests(version):
    text = (ROOT / "deploy/kubernetes/bucketport.yaml").read_text()
    things = [thing for thing in yaml.safe_load_all(text) if thing]
    assert {"Deployment", "Service", "Secret"} <= {thing["kind"] for thing in things}
    for thing in things:
        chart.validate(thing, version)
    folder = ROOT / "deploy/kubernetes"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert all((folder / file).exists() for file in kustomization["resources"])
    (image,) = kustomization["images"]
    assert chart.gateway(things)["image"].startswith(f"{image['name']}:")


def test_the_example_for_argo_cd_renders(tmp_path):
    (application,) = yaml.safe_load_all((ROOT / "deploy/argocd/bucketport.yaml").read_text())
    source = application["spec"]["source"]
    assert (ROOT / source["path"] / "Chart.yaml").exists()
    file = tmp_path / "values.yaml"
    values = source["helm"]["valuesObject"]
    # Argo CD drops what is null before Helm sees it.
    assert "null" not in json.dumps(values)
    file.write_text(yaml.safe_dump(values))
    first = chart.objects("--values", str(file))
    chart.template.cache_clear()
    # Argo CD renders again and again, and must find nothing changed.
    assert chart.objects("--values", str(file)) == first


def test_versions_are_those_of_the_program():
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    manifest = (ROOT / "Cargo.toml").read_text()
    assert about["appVersion"] == re.search(r'(?m)^version = "(.*)"', manifest)[1]
    assert about["kubeVersion"] == f">={KUBERNETES[0]}-0"


def test_the_systemd_unit_is_hardened():
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    # 0 is best, 100 worst; a unit without any hardening has 96.
    options = ["--offline=true", "--threshold=20"]
    said = chart.run("systemd-analyze", "security", *options, ROOT / "deploy/systemd/bucketport.service")
    assert said.returncode == 0, said.stdout + said.stderr
