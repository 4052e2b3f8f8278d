#!/usr/bin/env python3
"""Runs the conformance suite on every kind of store there is and prints a table of what passed.

usage: servers.py TOOLS TEST_BINARY [STORE...]

TOOLS has what `make conformance` installs: bin/minio, bin/fake-gcs-server and azurite/. The servers listen on loopback, on
ports that were free, and are ended with the last test, whatever became of it.
"""

import base64, contextlib, hashlib, hmac, json, os, re, signal, socket, subprocess, sys, tempfile, time
import urllib.request
from email.utils import formatdate

BUCKET = "conformance"
# Some times what the longest case takes; a server may leave a request without an answer.
DEADLINE = 150
# Of the emulator, and public.
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
NO_ACCOUNT = json.dumps({"client_email": "", "private_key": "", "private_key_id": "", "disable_oauth": True})


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def request(method, url, body=None, headers={}):
    # No proxy that the environment names: the servers are on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = body.encode() if body is not None else None
    with opener.open(urllib.request.Request(url, data, headers, method=method), timeout=10) as answer:
        return answer.read()


@contextlib.contextmanager
def running(arguments, port, environment={}):
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            arguments, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            began = time.monotonic()
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None or time.monotonic() - began > 60:
                    log.seek(0)
                    sys.exit(f"{arguments[0]} did not start:\n{log.read().decode(errors='replace')}")
                time.sleep(0.1)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def minio(tools, folder):
    port, key, secret = free_port(), "conformance", "conformance-secret"
    environment = {
        "MINIO_ROOT_USER": key,
        "MINIO_ROOT_PASSWORD": secret,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
    }
    with running([f"{tools}/bin/minio", "server", "--address", f"127.0.0.1:{port}", folder], port, environment):
        url = f"http://127.0.0.1:{port}"
        make = ["curl", "-sSf", "--noproxy", "*", "--retry", "20", "--retry-delay", "1", "--retry-all-errors"]
        make += ["-X", "PUT", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", f"{key}:{secret}", f"{url}/{BUCKET}"]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        options = {"aws_endpoint": url, "aws_region": "us-east-1"}
        yield f"s3://{BUCKET}/pre/fix", options | {"aws_access_key_id": key, "aws_secret_access_key": secret}


@contextlib.contextmanager
def fake_gcs(tools, folder):
    port = free_port()
    arguments = [f"{tools}/bin/fake-gcs-server", "-scheme", "http", "-host", "127.0.0.1", "-port", f"{port}"]
    arguments += ["-backend", "filesystem", "-filesystem-root", folder, "-log-level", "error"]
    arguments += ["-public-host", f"127.0.0.1:{port}", "-external-url", f"http://127.0.0.1:{port}"]
    with running(arguments, port):
        url = f"http://127.0.0.1:{port}"
        made = json.dumps({"name": BUCKET})
        request("POST", f"{url}/storage/v1/b?project=conformance", made, {"Content-Type": "application/json"})
        yield f"gs://{BUCKET}/pre/fix", {"google_base_url": url, "google_service_account_key": NO_ACCOUNT}


@contextlib.contextmanager
def azurite(tools, folder):
    port = free_port()
    arguments = [f"{tools}/azurite/node_modules/.bin/azurite-blob", "--blobHost", "127.0.0.1", "--silent"]
    arguments += ["--blobPort", f"{port}", "--location", folder, "--skipApiVersionCheck", "--disableTelemetry"]
    with running(arguments, port):
        url = f"http://127.0.0.1:{port}/{AZURE_ACCOUNT}"
        date, version = formatdate(usegmt=True), "2023-11-03"
        resource = f"/{AZURE_ACCOUNT}/{AZURE_ACCOUNT}/{BUCKET}\nrestype:container"
        text = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{version}\n{resource}"
        signed = hmac.new(base64.b64decode(AZURE_KEY), text.encode(), hashlib.sha256).digest()
        authorization = f"SharedKey {AZURE_ACCOUNT}:{base64.b64encode(signed).decode()}"
        headers = {"x-ms-date": date, "x-ms-version": version, "Authorization": authorization}
        request("PUT", f"{url}/{BUCKET}?restype=container", None, headers)
        options = {"azure_storage_account_name": AZURE_ACCOUNT, "azure_storage_account_key": AZURE_KEY}
        yield f"az://{BUCKET}/pre/fix", options | {"azure_endpoint": url}


# What is in the test's own process needs no server.
IN_PROCESS = ["memory", "local", "s3", "s3_flat", "gcs", "gcs_streamed"]
SERVERS = {
    "MinIO": (minio, {"BUCKETPORT_CONFORMANCE_LONGEST_NAME": "255"}),
    "Azurite": (azurite, {}),
    "fake-gcs-server": (fake_gcs, {}),
    "fake-gcs-server, unftp-sbe-gcs": (fake_gcs, {"BUCKETPORT_CONFORMANCE_DRIVER": "unftp-sbe-gcs"}),
}


def passes(binary, name, environment):
    """Whether a test passes within its time."""
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            [binary, "--exact", name],
            env=os.environ | {"RUST_BACKTRACE": "0"} | environment,
            stdout=log,
            stderr=log,
        )
        try:
            passed = process.wait(DEADLINE) == 0
        except subprocess.TimeoutExpired:
            passed = False
            log.write(f"{name} did not end in {DEADLINE} s\n")
        finally:
            process.kill()
            process.wait()
        if not passed:
            log.seek(0)
            print(f"{name} {environment.get('BUCKETPORT_CONFORMANCE_URL', '')}\n{log.read()}", file=sys.stderr, flush=True)
    return passed


def suite(binary, module, environment):
    """How many tests there are, the names of those that failed or did not end, and the seconds that all took.

    Each has a process for itself, one after the other: some servers answer nobody while they are at a request that hangs.
    """
    listed = subprocess.run([binary, "--list", f"{module}::"], capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^(\S+): test$", listed, re.MULTILINE)
    # There are `on_memory::upload::…` and `kept::on_memory::resume::…`. What breaks off on this driver is not kept.
    if environment.get("BUCKETPORT_CONFORMANCE_DRIVER") == "unftp-sbe-gcs":
        names = [name for name in names if not name.startswith("kept::")]
    if not names:
        sys.exit(f"there are no tests in {module}")
    began = time.monotonic()
    failed = [name.partition(f"{module}::")[2] for name in names if not passes(binary, name, environment)]
    return len(names), failed, time.monotonic() - began


def main():
    # Whoever ends this ends the servers as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    tools, binary, *wanted = sys.argv[1:]
    rows = []
    for name in IN_PROCESS:
        if not wanted or name in wanted:
            rows.append((f"in process: {name}", *suite(binary, f"on_{name}", {})))
    for name, (server, settings) in SERVERS.items():
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder, server(tools, folder) as (url, options):
            options = "\n".join(f"{key}={value}" for key, value in options.items())
            environment = {"BUCKETPORT_CONFORMANCE_URL": url, "BUCKETPORT_CONFORMANCE_OPTIONS": options} | settings
            rows.append((name, *suite(binary, "on_endpoint", environment)))
    print("\n| store | cases | passed | seconds | failed |\n|---|---|---|---|---|")
    for name, cases, failed, seconds in rows:
        tests = ", ".join(f"`{test}`" for test in failed) or "none"
        print(f"| {name} | {cases} | {cases - len(failed)} | {seconds:.0f} | {tests} |")


main()
