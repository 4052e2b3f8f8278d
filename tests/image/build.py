"""Builds the container image without a container engine: buildah runs the Dockerfile in a chroot, as root.

    build.py [--again] [ARGUMENT OF buildah build]...

Where the Dockerfile's base image cannot be pulled, one is made for its name: Debian by debootstrap with what the build uses
of the real one, and this machine's Rust. `--again` builds a second time, from a copy of the sources in another folder and
with nothing kept but the tools, and fails unless it is the same image to the last byte.
"""

import pathlib, re, shutil, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HOME = ROOT / "target/image"
DOCKERFILE = ROOT / "Dockerfile"
IMAGE = "localhost/bucketport:test"

# What of the sources belongs to the build; `.dockerignore` has the same list.
SOURCES = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


def buildah(*arguments, stdout=subprocess.PIPE, **options):
    """The output of buildah with a storage of its own, below `target/`."""
    return run("buildah", "--root", HOME / "containers", "--runroot", HOME / "run", *arguments, stdout=stdout, **options)


def run(*command, check=True, **options):
    done = subprocess.run([str(word) for word in command], check=check, text=True, **options)
    return (done.stdout or "").strip()


def mounted(container):
    return pathlib.Path(buildah("mount", container))


def main(arguments):
    again = "--again" in arguments
    arguments = [argument for argument in arguments if argument != "--again"]
    # What a run that was cut off has left.
    buildah("rm", "--all")
    provide_base()
    build(ROOT, IMAGE, arguments)
    if again:
        with tempfile.TemporaryDirectory() as folder:
            for name in [*SOURCES, ".dockerignore"]:
                run("cp", "--recursive", ROOT / name, folder)
            (pathlib.Path(folder) / "Dockerfile").write_text(forgetful(DOCKERFILE.read_text()))
            build(folder, f"{IMAGE}-again", arguments)
        first, second = (digest(name) for name in (IMAGE, f"{IMAGE}-again"))
        if first != second:
            sys.exit(f"the image differs from one build to the next: {first} and {second}")
        print(f"the same image twice: {first}")


def forgetful(dockerfile):
    """With a layer that no earlier build has, before all that the image is made from."""
    first = "FROM rust AS manifest\n"
    assert first in dockerfile
    return dockerfile.replace(first, f"{first}RUN true {time.time()}\n")


def build(folder, name, arguments):
    epoch = next(word.partition("=")[2] for word in arguments if word.startswith("SOURCE_DATE_EPOCH="))
    command = ["build", "--isolation", "chroot", "--pull-never", "--layers", "--jobs", "2", "--timestamp", epoch, "--tag", name]
    buildah(*command, *arguments, folder, stdout=None)


def digest(name):
    """That of the image's configuration, which has those of its layers."""
    return buildah("images", "--no-trunc", "--quiet", name)


def provide_base():
    name = re.search(r"^FROM (\S+) AS rust$", DOCKERFILE.read_text(), re.MULTILINE)[1]
    known = buildah("images", "--quiet", name, check=False, stderr=subprocess.DEVNULL)
    if known:
        return
    try:
        buildah("pull", "--quiet", name, stderr=subprocess.DEVNULL, timeout=600)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        print(f"{name} cannot be pulled: making one in its place", flush=True)
        make_base(name)


def make_base(name):
    wanted = re.search(r"rust:(\d+\.\d+)-(\w+)", name)
    version = run("rustc", "--version", stdout=subprocess.PIPE)
    if not version.startswith(f"rustc {wanted[1]}."):
        sys.exit(f"the image is built with Rust {wanted[1]}, and this machine's is {version}")
    debian = HOME / "base"
    if not debian.exists():
        made = HOME / "base.incomplete"
        shutil.rmtree(made, ignore_errors=True)
        made.parent.mkdir(parents=True, exist_ok=True)
        packages = "--include=ca-certificates,gcc,libc6-dev,make"
        run("debootstrap", "--variant=minbase", packages, wanted[2], made, "http://deb.debian.org/debian", stdout=subprocess.DEVNULL)
        made.rename(debian)
    container = buildah("from", "scratch")
    root = mounted(container)
    run("cp", "--archive", f"{debian}/.", root)
    add_rust(root)
    # The machine may see the registry through a certificate of its own, which must not get into the image.
    shutil.copy(CERTIFICATES, root / "usr/local/share/registry.crt")
    path = "/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    for variable in [f"PATH={path}", "CARGO_HOME=/usr/local/cargo", "CARGO_HTTP_CAINFO=/usr/local/share/registry.crt"]:
        buildah("config", "--env", variable, container)
    buildah("commit", "--rm", container, name)
    shutil.rmtree(debian)


def add_rust(root):
    """The toolchain, without what no build reads."""
    sysroot = pathlib.Path(run("rustc", "--print", "sysroot", stdout=subprocess.PIPE))
    toolchain = root / "usr/local/rustup/toolchain"
    shutil.copytree(sysroot, toolchain, symlinks=True, ignore=shutil.ignore_patterns("html", "man", "COPYRIGHT.html"))
    programs = root / "usr/local/cargo/bin"
    programs.mkdir(parents=True)
    for program in ("cargo", "rustc"):
        (programs / program).symlink_to(f"/usr/local/rustup/toolchain/bin/{program}")


if __name__ == "__main__":
    main(sys.argv[1:])
