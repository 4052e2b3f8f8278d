"""Runs the image as a container engine does under the strictest settings: runc, the image's own user, a read-only root."""

import contextlib, http.client, json, pathlib, secrets, socket, subprocess, time

import build

RUNC = ["runc", "--root", str(build.HOME / "runc")]
# For everything that a container is waited for; a container that works takes a fraction of it.
PATIENCE = 30


class Container:
    """A running container. `files` are mounted read-only, `folders` writable, each a path inside by its path outside."""

    def __init__(self, folder, config, files={}, folders={}, environment={}):
        self.name = f"bucketport-{secrets.token_hex(4)}"
        self.log = folder / f"{self.name}.log"
        (folder / "bucketport.toml").write_text(config)
        files = {folder / "bucketport.toml": "/etc/bucketport/bucketport.toml", **files}
        self.root = build.buildah("from", build.IMAGE)
        bundle = folder / self.name
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(self.specification(files, folders, environment)))
        self.began = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen([*RUNC, "run", "--bundle", bundle, self.name], stdout=log, stderr=log)

    def specification(self, files, folders, environment):
        image = configuration()
        user, group = map(int, image["User"].split(":"))
        bind = lambda source, path, mode: {
            "type": "bind", "source": str(source), "destination": path, "options": ["bind", "nosuid", "nodev", "noexec", mode],
        }
        return {
            "ociVersion": "1.0.2",
            "hostname": "bucketport",
            "root": {"path": str(build.mounted(self.root)), "readonly": True},
            "process": {
                "user": {"uid": user, "gid": group},
                "cwd": image["WorkingDir"],
                "args": image["Entrypoint"] + image["Cmd"],
                "env": image.get("Env", []) + [f"{name}={value}" for name, value in environment.items()],
                "capabilities": {each: [] for each in ["bounding", "effective", "inheritable", "permitted", "ambient"]},
                "noNewPrivileges": True,
            },
            "mounts": [
                {"type": "proc", "source": "proc", "destination": "/proc"},
                {"type": "tmpfs", "source": "tmpfs", "destination": "/dev", "options": ["nosuid", "mode=755", "ro"]},
                *[bind(source, path, "ro") for source, path in files.items()],
                *[bind(source, path, "rw") for source, path in folders.items()],
            ],
            # The network is this machine's, so that nothing but its loopback addresses is needed.
            "linux": {"namespaces": [{"type": kind} for kind in ["pid", "mount", "ipc", "uts"]]},
        }

    def pid(self):
        return json.loads(subprocess.check_output([*RUNC, "state", self.name]))["pid"]

    def signal(self, name):
        subprocess.run([*RUNC, "kill", self.name, name], check=True)

    def wait(self, seconds=PATIENCE):
        """The exit code."""
        return self.process.wait(seconds)

    def close(self):
        subprocess.run([*RUNC, "delete", "--force", self.name], stderr=subprocess.DEVNULL)
        self.process.wait(PATIENCE)
        build.buildah("rm", self.root)

    def __str__(self):
        return self.log.read_text()


@contextlib.contextmanager
def running(*arguments, **options):
    container = Container(*arguments, **options)
    try:
        yield container
    finally:
        container.close()


def configuration():
    """What the image says about how it is to be run, and its labels."""
    return json.loads(build.buildah("inspect", "--type", "image", build.IMAGE))["OCIv1"]["config"]


@contextlib.contextmanager
def opened():
    """The image's files, as they are before anything has run."""
    container = build.buildah("from", build.IMAGE)
    try:
        yield pathlib.Path(build.mounted(container))
    finally:
        build.buildah("rm", container)


def free_ports(number):
    """As many ports in a row that nobody uses."""
    while True:
        with contextlib.ExitStack() as stack:
            first = 20000 + secrets.randbelow(10000)
            try:
                for port in range(first, first + number):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return list(range(first, first + number))


def readiness(port):
    """The answer of /readyz, code and text; none while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except ConnectionError:
        return None, ""
    finally:
        connection.close()


def until(condition, said):
    """Waits until `condition` holds; what `said` is asked for tells why it never did."""
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up, str(said)
        time.sleep(0.001)
