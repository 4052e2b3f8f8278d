"""The dashboard and the alerts against the program: after a load in which everything goes wrong once, all that they ask for is
in what the gateway tells Prometheus.
"""

import contextlib, ftplib, http.server, io, json, re, socket, ssl, struct, subprocess, threading, time, urllib.request

import promql_parser, pytest, yaml

import chart
from chart import CHART, ROOT

BINARY = ROOT / "target/debug/bucketport"
PROMTOOL = chart.TOOLS / "promtool/promtool"
# What Prometheus adds to each sample, and the metric that it makes itself.
PROMETHEUS_LABELS = {"job", "instance", "namespace"}
PROMETHEUS_METRICS = {"up"}
# What this load cannot bring about: a panic, and replicas that do not reach each other.
NOT_PROVOKED = {("result", "server_error"), ("result", "unreachable"), ("result", "dropped"), ("result", "lost")}

DASHBOARD = json.loads((CHART / "dashboards/bucketport.json").read_text())
RULES = [rule for group in yaml.safe_load((CHART / "rules.yaml").read_text())["groups"] for rule in group["rules"]]
DOCUMENTED = (ROOT / "docs/metrics.md").read_text()


# The load


class Refusing(http.server.BaseHTTPRequestHandler):
    """A store that grants nothing."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<Error><Code>AccessDenied</Code></Error>"
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

    def log_message(self, *_):
        pass


def configuration(folder, store):
    return f"""
[ftp]
listen = ["127.0.0.1:0"]
passive_ports = "28300-28309"
data_timeout = "2s"
[ftp.tls]
mode = "optional"
certificate = "{folder}/tls.crt"
private_key = "{folder}/tls.key"
[http]
listen = "127.0.0.1:0"
metrics_users = ["acme"]
[transfer]
part_size = "5MiB"
[stores.landing]
url = "memory:///"
[stores.refusing]
url = "s3://bucket"
[stores.refusing.options]
aws_endpoint = "{store}"
aws_allow_http = true
aws_access_key_id = "x"
aws_secret_access_key = "x"
[[events]]
name = "hook"
type = "webhook"
url = "{store}/events"
types = ["upload"]
max_attempts = 1
[[users]]
name = "acme"
password = "secret"
store = "landing"
[[users]]
name = "reader"
password = "secret"
store = "landing"
permissions = ["read"]
[[users]]
name = "refused"
password = "secret"
store = "refusing"
"""


@contextlib.contextmanager
def gateway(folder):
    """A running gateway: where it serves FTP and where HTTP."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    assert chart.run(BINARY, "self-signed", "--folder", folder).returncode == 0
    file, log = folder / "gateway.toml", folder / "log"
    file.write_text(configuration(folder, f"http://127.0.0.1:{server.server_port}"))
    with open(log, "w") as lines:
        process = subprocess.Popen([BINARY, "--config", file], cwd=folder, env={}, stderr=lines, stdin=subprocess.DEVNULL)
    try:
        def listening(what):
            deadline = time.monotonic() + 30
            while not (found := re.search(rf"{what} listening.*?address=127\.0\.0\.1:(\d+)", log.read_text())):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            return int(found[1])

        yield listening("ftp"), listening("http")
    finally:
        process.kill()
        process.wait()
        server.shutdown()


def session(port, user="acme", password="secret", source="127.0.0.1", kind=ftplib.FTP, **options):
    client = kind(timeout=30, source_address=(source, 0), **options)
    client.connect("127.0.0.1", port)
    client.login(user, password)
    return client


def load(port):
    """Brings about everything that the dashboard and the alerts tell apart."""
    acme = session(port)
    for command, size in [("STOR small", 10), ("STOR large", 12 << 20), ("APPE added", 10)]:
        acme.storbinary(command, io.BytesIO(bytes(size)))
    assert acme.retrbinary("RETR small", lambda _: None).startswith("226")
    encrypted = session(port, kind=ftplib.FTP_TLS, context=ssl._create_unverified_context())
    encrypted.prot_p()
    encrypted.storbinary("STOR secret", io.BytesIO(b"x"))

    lost = session(port)
    data = lost.transfercmd("STOR lost")
    data.sendall(b"x")
    data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    data.close()
    fails(426, lost.voidresp)

    stalled = session(port)
    data = stalled.transfercmd("STOR stalled")
    fails(426, stalled.voidresp)

    aborted = session(port)
    data = aborted.transfercmd("STOR aborted")
    aborted.putcmd("ABOR")
    fails(426, aborted.voidresp)
    assert aborted.getresp().startswith("226")

    fails(550, lambda: session(port, "reader").storbinary("STOR x", io.BytesIO(b"x")))
    fails(550, lambda: session(port, "refused").storbinary("STOR x", io.BytesIO(b"x")))
    # From an address of its own, which is locked out after that.
    for _ in range(10):
        fails(530, lambda: session(port, "nobody", "wrong", "127.0.0.2"))
    fails(421, lambda: session(port, "nobody", "wrong", "127.0.0.2"))
    return [acme, encrypted]


def fails(code, work):
    with pytest.raises(ftplib.Error) as said:
        work()
    assert str(said.value).startswith(str(code)), said.value


@pytest.fixture(scope="module")
def scrape(tmp_path_factory):
    with gateway(tmp_path_factory.mktemp("gateway")) as (ftp, web):
        sessions = load(ftp)
        with urllib.request.urlopen(f"http://127.0.0.1:{web}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        assert sessions
    return text


@pytest.fixture(scope="module")
def samples(scrape):
    """Each sample's labels and value, by its metric's name."""
    found = {}
    for line in scrape.splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line).groups()
            pairs = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ""))
            found.setdefault(name, []).append((pairs, float(value)))
    return found


# What is asked for


def queries():
    """Every query, with where it stands and the labels that its legend shows."""
    for rule in RULES:
        yield rule["alert"], rule["expr"], set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"], set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
    for annotation in DASHBOARD["annotations"]["list"]:
        yield annotation["name"], annotation["expr"], set(re.findall(r"\{\{(\w+)\}\}", annotation["textFormat"]))


def parsed(text):
    for name, value in {"__rate_interval": "5m", "__range": "1h", "namespace": ".*", "instance": ".*"}.items():
        text = text.replace(f"${name}", value)
    return promql_parser.parse(text)


def parts(expression):
    """An expression and those that it is made of."""
    yield expression
    for name in ("lhs", "rhs", "expr", "vector_selector"):
        if (inner := getattr(expression, name, None)) is not None:
            yield from parts(inner)
    for inner in getattr(expression, "args", None) or []:
        yield from parts(inner)


def selectors(expression):
    return [part for part in parts(expression) if isinstance(part, promql_parser.VectorSelector)]


def is_of_a_cluster_to_come(name):
    """What this version of the program does not count, its documentation does not have either."""
    return name.startswith("bucketport_forwarded_") and name not in DOCUMENTED


def values(matcher):
    """The values that a selector names."""
    return matcher.value.split("|") if matcher.op in (promql_parser.MatchOp.Re, promql_parser.MatchOp.NotRe) else [matcher.value]


@pytest.mark.parametrize("where, text, shown", list(queries()))
def test_all_that_a_query_asks_for_exists(where, text, shown, samples):
    expression = parsed(text)
    grouped = set()
    for part in parts(expression):
        if isinstance(part, promql_parser.AggregateExpr) and part.modifier:
            labels = set(part.modifier.labels) - PROMETHEUS_LABELS
            grouped |= labels
            for selector in selectors(part):
                there = {label for labels, _ in samples.get(selector.name, []) for label in labels}
                assert is_of_a_cluster_to_come(selector.name) or labels <= there, (selector.name, labels - there)
    assert selectors(expression)
    own = set()
    for selector in selectors(expression):
        name = selector.name
        if name in PROMETHEUS_METRICS or is_of_a_cluster_to_come(name):
            continue
        assert name in samples, name
        own |= {label for labels, _ in samples[name] for label in labels}
        for matcher in selector.matchers.matchers:
            if matcher.name in PROMETHEUS_LABELS:
                continue
            for value in values(matcher):
                counts = [count for labels, count in samples[name] if labels.get(matcher.name) == value]
                assert counts, f"{name} has no {matcher.name}={value}"
                if (matcher.name, value) not in NOT_PROVOKED:
                    assert any(counts), f"{name}: {matcher.name}={value} was not brought about"
    assert shown <= (grouped or own) | PROMETHEUS_LABELS, "the legend has labels that the query has not"


def test_the_load_is_told_apart_by_user_and_fault(samples):
    def count(metric, **labels):
        return sum(value for found, value in samples[metric] if labels.items() <= found.items())

    transfers = "bucketport_user_transfers_total"
    assert [count(transfers, user="acme", result=result) for result in ("client_lost", "stalled", "aborted")] == [1, 1, 1]
    assert count(transfers, user="other", result="rejected") == 1
    assert count(transfers, user="other", result="store_error") == 1
    assert {labels["user"] for labels, _ in samples[transfers]} == {"acme", "other"}
    assert count("bucketport_user_sessions", user="acme") >= 2
    assert count("bucketport_store_reachable", store="landing") == 1
    assert count("bucketport_store_reachable", store="refusing") == count("bucketport_ready") == 0


# promtool


def test_promtool_finds_nothing_wrong_with_our_metrics(scrape):
    said = subprocess.run([PROMTOOL, "check", "metrics"], input=scrape, capture_output=True, text=True, timeout=60)
    found = (said.stdout + said.stderr).splitlines()
    # Those of libunftp, as docs/metrics.md says.
    assert {line.split()[0] for line in found} == {"ftp_auth_failures", "ftp_sessions_count", "ftp_sessions_total"}, found


def test_promtool_tests_the_alerts():
    checked = chart.run(PROMTOOL, "check", "rules", "--lint-fatal", CHART / "rules.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = chart.run(PROMTOOL, "test", "rules", ROOT / "tests/chart/rules_test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    fired = set(re.findall(r'alertname(?:="|: )(\w+)', (ROOT / "tests/chart/rules_test.yaml").read_text()))
    assert {rule["alert"] for rule in RULES} == fired


def test_prometheus_takes_the_configuration_of_the_compose_file(tmp_path):
    (tmp_path / "prometheus.yml").write_text((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (tmp_path / "rules.yaml").write_text((CHART / "rules.yaml").read_text())
    checked = chart.run(PROMTOOL, "check", "config", tmp_path / "prometheus.yml")
    assert checked.returncode == 0 and f"{len(RULES)} rules found" in checked.stdout, checked.stdout + checked.stderr


# Words and shapes


def test_each_alert_has_its_words_and_its_runbook():
    headings = re.findall(r"^#+ (\w+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, rule["alert"]
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["alert"] in headings
    assert {heading for heading in headings if heading.startswith("Bucketport")} == {rule["alert"] for rule in RULES}


def test_the_chart_tells_where_the_runbooks_are():
    values = "metrics.prometheusRule.enabled=true,metrics.prometheusRule.runbooks=https://example.com/operations"
    things = chart.objects("--values", str(chart.values_file("minimal")), "--set", values)
    (group,) = chart.only(things, "PrometheusRule")["spec"]["groups"]
    assert [rule["annotations"].pop("runbook_url") for rule in group["rules"]] \
        == [f"https://example.com/operations#{rule['alert'].lower()}" for rule in RULES]


def test_panels_lie_side_by_side():
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [(x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(set(cells)) == len(cells) and max(x for x, _ in cells) == 23
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    variables = [variable["name"] for variable in DASHBOARD["templating"]["list"]]
    assert variables == ["datasource", "namespace", "instance"]
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}" and panel["targets"]
            assert all("$namespace" in target["expr"] and "$instance" in target["expr"] for target in panel["targets"])


def test_the_compose_file_mounts_what_there_is():
    services = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]
    mounted = {volume.split(":")[0] for service in services.values() for volume in service.get("volumes", [])}
    files = {path for path in mounted if path.startswith(".")}
    assert {"../charts/bucketport/rules.yaml", "../charts/bucketport/dashboards"} <= files
    assert all((ROOT / "deploy" / path).exists() for path in files)
    # Nothing of an example is to be had from outside.
    assert all(port.startswith("127.0.0.1:") for service in services.values() for port in service.get("ports", []))
