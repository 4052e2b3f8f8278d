"""The container image from outside: what is in it, and how it behaves as its user with a read-only root."""

import contextlib, ftplib, io, json, os, pathlib, platform, re, ssl, stat, statistics, subprocess, sys, time, tomllib, zlib

import pytest

import build, container, stores
from container import readiness, until

LIMIT = 40_000_000
GRACE = 20
LICENSES = "usr/share/licenses/bucketport"
USER = """
[[users]]
name = "acme"
password_hash = "$argon2id$v=19$m=19456,t=2,p=1$zZcVuHJH9+0UjtWT3vV0lw$bMh/GCIl2nzoRL+DNTYNdbuaOILYTM17VGw6dGUS0HY"
"""


# The files


@pytest.fixture(scope="module")
def root():
    with container.opened() as root:
        yield root


@pytest.fixture(scope="module")
def program(root):
    return root / "usr/local/bin/bucketport"


def test_the_dockerfile_is_clean():
    hadolint = pathlib.Path(sys.executable).with_name("hadolint")
    linted = subprocess.run([hadolint, "--no-color", build.DOCKERFILE], capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_nothing_else_is_in_it(root):
    files = {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    texts = ["LICENSE", "THIRD-PARTY-LICENSES.txt", "ca-certificates.txt", "libc6.txt", "libgcc-s1.txt", "LGPL-2.1.txt"]
    assert files == {
        "usr/local/bin/bucketport",
        "usr/share/sbom/bucketport.cdx.json",
        "etc/group", "etc/nsswitch.conf", "etc/passwd", "etc/ssl/certs/ca-certificates.crt",
        *[f"{LICENSES}/{name}" for name in [*texts, "rust-standard-library.html"]],
    }  # fmt: skip
    assert [path.name for path in root.rglob("*") if path.is_file() and path.stat().st_mode & 0o111] == ["bucketport"]


def test_it_is_small(root, figure):
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    figure(f"image: {size / 1e6:.1f} MB, of which the program {program_size(root) / 1e6:.1f} MB")
    assert size < LIMIT


def program_size(root):
    return (root / "usr/local/bin/bucketport").stat().st_size


def test_its_user_may_write_nothing(root):
    for path in [root, *root.rglob("*")]:
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (0, 0), path
        assert not stat.S_IMODE(found.st_mode) & 0o7022, path


def test_the_program_needs_no_library(program):
    assert "INTERP" not in read_elf(program, "--program-headers")
    assert "NEEDED" not in read_elf(program, "--dynamic")


def read_elf(program, *what):
    return subprocess.check_output(["readelf", *what, program], text=True)


def test_the_program_names_no_path_of_its_build(program):
    found = re.findall(rb"/build/[\w./-]*|/usr/local/cargo/[\w./-]*|/root/[\w./-]*", program.read_bytes())
    assert found == []


def test_labels():
    labels = {name.removeprefix("org.opencontainers.image."): text for name, text in container.configuration()["Labels"].items()}
    manifest = tomllib.loads((build.ROOT / "Cargo.toml").read_text())["package"]
    assert labels["title"] == "Bucketport" and labels["description"]
    assert labels["licenses"] == manifest["license"]
    assert labels["version"] == manifest["version"]
    assert re.fullmatch(r"[0-9a-f]{40}", labels["revision"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", labels["created"])


def test_its_user_is_a_number():
    """Kubernetes has to see that it is not root without reading /etc/passwd."""
    assert container.configuration()["User"] == "65532:65532"


@pytest.fixture(scope="module")
def crates():
    """Name and version of each crate that the program is built from, by cargo."""
    target = f"{platform.machine()}-unknown-linux-gnu"
    tree = ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--target", target]
    listed = subprocess.check_output(tree, cwd=build.ROOT, text=True)
    crates = set(re.findall(r"^(\S+) v(\S+)", listed, re.MULTILINE))
    assert {"bucketport", "libunftp", "object_store", "rustls"} <= {name for name, _ in crates}
    return crates


@pytest.fixture(scope="module")
def bill(root):
    """What the bill of materials says of each crate."""
    bill = json.loads((root / "usr/share/sbom/bucketport.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    return {(part["name"], part["version"]): part for part in [bill["metadata"]["component"], *bill["components"]]}


def test_the_bill_of_materials_has_every_crate(bill, crates):
    assert crates <= bill.keys()
    assert [name for name, part in bill.items() if not part.get("licenses")] == []


def test_scanners_find_the_crates_in_the_program(program, bill, tmp_path):
    section = tmp_path / "section"
    subprocess.run(["objcopy", "--dump-section", f".dep-v0={section}", program, "/dev/null"], check=True)
    listed = json.loads(zlib.decompress(section.read_bytes()))["packages"]
    found = {(crate["name"], crate["version"]) for crate in listed if crate.get("kind", "runtime") == "runtime"}
    assert {"bucketport", "libunftp", "object_store", "rustls"} <= {name for name, _ in found}
    assert found <= bill.keys()


def test_the_licence_of_every_crate_is_there(root, crates):
    text = (root / LICENSES / "THIRD-PARTY-LICENSES.txt").read_text()
    users = set(re.findall(r"^  (\S+) (\S+)", text, re.MULTILINE))
    assert crates == users
    assert "Jason Evans" in text, "jemalloc's, which is in the sources of a crate with another licence"


def test_authorities_are_there(root):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(root / "etc/ssl/certs/ca-certificates.crt")
    assert len(context.get_ca_certs()) > 100


# The program in a container


@pytest.fixture
def ports():
    return container.free_ports(8)


@contextlib.contextmanager
def gateway(folder, ports, store, expected=200, **options):
    """A gateway that has come to the readiness that is expected."""
    with container.running(folder, configuration(ports, store), **options) as running:
        until(lambda: readiness(ports[1])[0] == expected or running.process.poll() is not None, running)
        assert running.process.poll() is None, str(running)
        yield running


def configuration(ports, store):
    return f"""
[ftp]
listen = ["127.0.0.1:{ports[0]}"]
passive_ports = "{ports[2]}-{ports[-1]}"
drain_timeout = "{GRACE}s"
[http]
listen = "127.0.0.1:{ports[1]}"
{store}{USER}"""


MEMORY = '[stores.landing]\nurl = "memory:///"\n'
FOLDER = '[stores.landing]\nurl = "file:///landing"\n'


def bucket(scheme, host, port):
    return f"""
[stores.landing]
url = "s3://landing"
[stores.landing.options]
aws_endpoint = "{scheme}://{host}:{port}"
aws_region = "us-east-1"
aws_access_key_id = "example"
aws_secret_access_key = "example-secret"
"""


def client(ports):
    ftp = ftplib.FTP(timeout=container.PATIENCE)
    ftp.connect("127.0.0.1", ports[0])
    ftp.login("acme", "change-me")
    return ftp


@pytest.fixture
def landing(tmp_path):
    """A volume that the image's user may write to."""
    folder = tmp_path / "landing"
    folder.mkdir()
    os.chown(folder, 65532, 65532)
    return folder


def test_uploads_to_memory(tmp_path, ports):
    body = bytes(range(256)) * 40_000
    with gateway(tmp_path, ports, MEMORY), client(ports) as ftp:
        ftp.storbinary("STOR report.bin", io.BytesIO(body))
        back = io.BytesIO()
        ftp.retrbinary("RETR report.bin", back.write)
    assert back.getvalue() == body


def test_uploads_to_a_volume(tmp_path, ports, landing):
    with gateway(tmp_path, ports, FOLDER, folders={landing: "/landing"}), client(ports) as ftp:
        ftp.storbinary("STOR report.csv", io.BytesIO(b"a;b\n"))
    written = landing / "report.csv"
    assert written.read_bytes() == b"a;b\n"
    assert (written.stat().st_uid, written.stat().st_gid) == (65532, 65532)


def test_it_runs_without_rights(tmp_path, ports):
    with gateway(tmp_path, ports, MEMORY) as running:
        status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{running.pid()}/status").read_text().splitlines())
        mounts = pathlib.Path(f"/proc/{running.pid()}/mountinfo").read_text().splitlines()
    assert status["Uid"].split() == status["Gid"].split() == ["65532"] * 4
    assert status["Groups"].strip() in ("", "65532")
    assert {int(status[each], 16) for each in ["CapPrm", "CapEff", "CapBnd", "CapAmb"]} == {0}
    assert status["NoNewPrivs"] == "1"
    modes = {line.split()[4]: line.split()[5].split(",") for line in mounts}
    assert "ro" in modes["/"]


def test_freed_memory_is_given_back_by_a_thread(tmp_path, ports):
    with gateway(tmp_path, ports, MEMORY) as running:
        threads = pathlib.Path(f"/proc/{running.pid()}/task").glob("*/comm")
        assert "jemalloc_bg_thd" in {thread.read_text().strip() for thread in threads}


def test_a_transfer_finishes_within_the_grace(tmp_path, ports, landing):
    with gateway(tmp_path, ports, FOLDER, folders={landing: "/landing"}) as running:
        idle, busy = client(ports), client(ports)
        busy.voidcmd("TYPE I")
        data = busy.transfercmd("STOR large.bin")
        data.sendall(b"first half")
        running.signal("TERM")
        until(lambda: readiness(ports[1])[0] == 503, running)
        with pytest.raises(OSError):
            client(ports)
        assert idle.getmultiline().startswith("421 ")
        data.sendall(b", second half")
        data.close()
        assert busy.getresp().startswith("226 ")
        assert running.wait(GRACE) == 0, str(running)
    assert (landing / "large.bin").read_bytes() == b"first half, second half"


def test_an_idle_gateway_stops_at_once(tmp_path, ports):
    with gateway(tmp_path, ports, MEMORY) as running:
        running.signal("TERM")
        assert running.wait(GRACE) == 0, str(running)


def test_a_bad_configuration_is_told(tmp_path):
    with container.running(tmp_path, "[ftp]\nlissen = []\n") as running:
        assert running.wait() == 64
        assert "lissen" in str(running)


@pytest.fixture
def network(tmp_path):
    """The files with which a container knows one store by DNS, and another by its hosts file."""
    (tmp_path / "hosts").write_text(f"127.0.0.1 {stores.BY_HOSTS}\n")
    (tmp_path / "resolv.conf").write_text(f"nameserver {stores.NAME_SERVER}\n")
    with stores.name_server():
        yield {tmp_path / "hosts": "/etc/hosts", tmp_path / "resolv.conf": "/etc/resolv.conf"}


@pytest.mark.parametrize("host", [stores.BY_DNS, stores.BY_HOSTS])
def test_a_store_is_found_by_name(tmp_path, ports, network, host):
    with stores.s3() as port, gateway(tmp_path, ports, bucket("http", host, port), files=network):
        pass


def test_a_name_that_nobody_knows_is_told(tmp_path, ports, network):
    store = bucket("http", "unknown.example.test", 80)
    with gateway(tmp_path, ports, store, expected=503, files=network) as running:
        until(lambda: "unreachable" in readiness(ports[1])[1], running)


def certified(program, folder):
    """A certificate of nobody's for the store, and its key."""
    command = [program, "self-signed", "--host", stores.BY_DNS, "--folder", folder]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "tls.crt", folder / "tls.key"


def test_a_store_over_tls_by_an_authority_that_is_mounted(tmp_path, ports, network, program):
    certificate, key = certified(program, tmp_path)
    files = network | {certificate: "/etc/ssl/certs/ca-certificates.crt"}
    with stores.s3(certificate, key) as port, gateway(tmp_path, ports, bucket("https", stores.BY_DNS, port), files=files):
        pass


def test_a_store_over_tls_by_nobody_is_refused(tmp_path, ports, network, program):
    with stores.s3(*certified(program, tmp_path)) as port:
        store = bucket("https", stores.BY_DNS, port)
        with gateway(tmp_path, ports, store, expected=503, files=network) as running:
            until(lambda: "unreachable" in readiness(ports[1])[1], running)


@pytest.mark.parametrize("kind", ["a store in memory", "S3 by DNS"])
def test_start_to_ready(tmp_path, ports, network, kind, figure):
    times = []
    with stores.s3() as port:
        store = MEMORY if kind == "a store in memory" else bucket("http", stores.BY_DNS, port)
        for _ in range(11):
            with gateway(tmp_path, ports, store, files=network) as running:
                times.append(time.monotonic() - running.began)
    figure(f"from `runc run` to ready with {kind}: {milliseconds(times)}")


def test_start_to_ready_without_a_container(tmp_path, ports, program, figure):
    (tmp_path / "bucketport.toml").write_text(configuration(ports, MEMORY))
    command = [program, "serve", "--config", tmp_path / "bucketport.toml"]
    times = []
    for _ in range(11):
        began = time.monotonic()
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            until(lambda: readiness(ports[1])[0] == 200, "not ready")
            times.append(time.monotonic() - began)
            process.terminate()
    figure(f"from the program's start to ready with a store in memory: {milliseconds(times)}")


def milliseconds(times):
    return f"median {statistics.median(times) * 1000:.0f} ms, fastest {min(times) * 1000:.0f} ms of {len(times)}"
