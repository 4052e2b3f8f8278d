"""Renders the chart, and knows what Kubernetes would say to the result."""

import base64, collections, functools, json, os, pathlib, re, subprocess

import jsonschema, kubernetes_validate, yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/bucketport"
GOLDEN = ROOT / "tests/chart/golden"
# What `make chart-tools` installs.
TOOLS = ROOT / "target/chart"
HELMS = {f"helm {version}": TOOLS / f"helm-{version}/helm" for version in os.environ.get("HELMS", "3 4").split()}
# The oldest that the chart names, one in the middle, and the newest that there are schemas for.
KUBERNETES = ["1.30.0", "1.34.0", "1.37.0"]
MATRIX = sorted(path.name.removesuffix("-values.yaml") for path in CHART.glob("ci/*-values.yaml"))


def values_file(name):
    return CHART / f"ci/{name}-values.yaml"


def run(*arguments, **options):
    # Each takes a second; what hangs fails.
    return subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=300, **options)


def helm(which, command, *arguments, chart=CHART):
    return run(HELMS[which], command, *arguments[:1], chart, *arguments[1:])


@functools.cache
def template(which, *arguments, kubernetes=KUBERNETES[1], chart=CHART, release="bucketport"):
    """What Helm renders as text, or a RuntimeError with what it says instead."""
    options = ["--namespace", "ftp", "--kube-version", kubernetes, *arguments]
    rendered = helm(which, "template", release, *options, chart=chart)
    if rendered.returncode != 0:
        raise RuntimeError(rendered.stderr)
    return rendered.stdout


class Loader(yaml.CSafeLoader):
    """Refuses a key that is there twice, as Kubernetes does."""

    def construct_mapping(self, node, deep=False):
        twice = [key for key, count in collections.Counter(key.value for key, _ in node.value).items() if count > 1]
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"{twice} twice", node.start_mark)
        return super().construct_mapping(node, deep)


def objects(*arguments, which="helm 4", **options):
    """The rendered objects in the order of their kinds and names, which both versions of Helm share."""
    documents = yaml.load_all(template(which, *arguments, **options), Loader=Loader)
    return sorted((document for document in documents if document), key=identity)


def of(name, **options):
    """The objects that one of the values files in `ci/` renders to."""
    return objects("--values", str(values_file(name)), **options)


def identity(thing):
    return thing["kind"], thing["metadata"]["name"]


def only(things, kind):
    (found,) = [thing for thing in things if thing["kind"] == kind]
    return found


def workload(things):
    (found,) = [thing for thing in things if thing["kind"] in ("Deployment", "StatefulSet")]
    return found


def pod(things):
    return workload(things)["spec"]["template"]


def gateway(things):
    """The gateway's container."""
    (found,) = [each for each in pod(things)["spec"]["containers"] if each["name"] == "bucketport"]
    return found


def environment(things, labels={"apps.kubernetes.io/pod-index": "0"}):
    """The variables of the gateway's container, with what Kubernetes would put into them."""
    found = {}
    for variable in gateway(things).get("env", []):
        if "valueFrom" in variable:
            path = variable["valueFrom"]["fieldRef"]["fieldPath"]
            found[variable["name"]] = labels[re.fullmatch(r"metadata\.labels\['(.*)'\]", path)[1]]
        else:
            known = lambda match: found.get(match[1], match[0])
            found[variable["name"]] = re.sub(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)", known, variable["value"])
    return found


def secret_data(secret):
    """What is in a Secret's or ConfigMap's files."""
    decoded = {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()} \
        if secret["kind"] == "Secret" else secret.get("data", {})
    return decoded | secret.get("stringData", {})


def client_services(things):
    """The Services that clients connect to."""
    return [
        thing for thing in things
        if thing["kind"] == "Service" and any(port["name"].startswith("passive-") for port in thing["spec"]["ports"])
    ]


def passive(ports, key):
    return [port[key] for port in ports if port["name"].startswith("passive-")]


# Read once and not for each object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

@functools.cache
def custom_schemas():
    """The schema of each kind that Kubernetes itself does not have, by its API version and kind."""
    found = {}
    for path in TOOLS.glob("crds/*.yaml"):
        definition = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["spec"]
        for version in definition["versions"]:
            key = f"{definition['group']}/{version['name']}", definition["names"]["kind"]
            found[key] = strict(version["schema"]["openAPIV3Schema"]) | {"required": ["metadata", "spec"]}
    return found


def strict(schema):
    """An OpenAPI schema as a JSON schema that refuses fields which it does not know."""
    schema = dict(schema)
    if schema.get("x-kubernetes-int-or-string"):
        schema.pop("type", None)
    if "properties" in schema:
        schema["properties"] = {key: strict(value) for key, value in schema["properties"].items()}
        known = schema["properties"].keys() <= {"apiVersion", "kind"} or schema.get("x-kubernetes-preserve-unknown-fields")
        if not known and "additionalProperties" not in schema:
            schema["additionalProperties"] = False
    if isinstance(schema.get("items"), dict):
        schema["items"] = strict(schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        schema["additionalProperties"] = strict(schema["additionalProperties"])
    return schema


def validate(thing, version):
    """Raises a jsonschema.ValidationError unless this version of Kubernetes takes the object as it is."""
    schema = custom_schemas().get((thing["apiVersion"], thing["kind"]))
    if schema is not None:
        jsonschema.Draft202012Validator(schema).validate(thing)
    else:
        kubernetes_validate.validate(thing, version, strict=True)


def canonical(things):
    return yaml.dump_all(things, Dumper=yaml.CSafeDumper, sort_keys=True, width=120, explicit_start=True)


def golden(name):
    """What a values file renders to, as far as it differs from what the smallest one does.

    The dashboard and the alerts are files already, and of the passive ports, which another test counts, the first stands for all.
    """
    usual = of("minimal") if name != "minimal" else []
    different = json.loads(json.dumps([thing for thing in of(name) if thing not in usual]))
    for thing in different:
        if "bucketport.json" in thing.get("data", {}):
            thing["data"]["bucketport.json"] = "dashboards/bucketport.json"
        if thing["kind"] == "PrometheusRule":
            thing["spec"]["groups"] = [group["name"] for group in thing["spec"]["groups"]]
        spec = thing.get("spec", {})
        for holder in [spec, *spec.get("template", {}).get("spec", {}).get("containers", [])]:
            if "ports" in holder:
                later = [port for port in holder["ports"] if port["name"].startswith("passive-")][1:]
                holder["ports"] = [port for port in holder["ports"] if port not in later]
    return canonical(different)


def plain_manifests():
    """deploy/kubernetes/bucketport.yaml."""
    values = ROOT / "deploy/kubernetes/values.yaml"
    text = template("helm 4", "--values", str(values))
    # Neither Helm nor its release is there to manage them, and a checksum would not change with the configuration.
    text = re.sub(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by|checksum/\w+): .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"^# Source: .*\n| +$", "", text, flags=re.MULTILINE)
    return "# Rendered from charts/bucketport with values.yaml beside this, by `make chart-render`.\n" + text


def readme():
    """charts/bucketport/README.md, which helm-docs makes of the values and their comments."""
    options = ["--chart-search-root", CHART, "--dry-run", "--log-level", "warning", "--sort-values-order", "file"]
    made = run(TOOLS / "helm-docs/helm-docs", *options, cwd=CHART, check=True)
    return made.stdout.strip() + "\n"


def rendered_files():
    """Every file that is made of the chart, and its text."""
    made = {GOLDEN / f"{name}.yaml": golden(name) for name in MATRIX}
    return made | {ROOT / "deploy/kubernetes/bucketport.yaml": plain_manifests(), CHART / "README.md": readme()}
