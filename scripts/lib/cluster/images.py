"""Images without a registry and without a builder: docker archives of one layer, made of files of this machine.

Named antispoof.test/NAME:TAG. An archive is kept under .cluster/images by what went into it, so a second run makes none anew.
"""

import hashlib
import io
import json
import os
import pathlib
import re
import subprocess
import tarfile

import node

REGISTRY = "antispoof.test"
FOLDER = node.CACHE / "images"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
# Of packages: what a program does not open.
SKIPPED = re.compile(r"^/(usr/share/(doc|man|locale|lintian|info|zoneinfo|bug|perl)|usr/lib/python3|usr/share/python|usr/lib/erlang/(doc|man)|etc/init|lib/systemd|usr/lib/systemd|var/cache)")


class Image:
    """Files and settings of an image."""

    def __init__(self, name, tag, entrypoint, command=(), user="", environment=()):
        self.reference = f"{REGISTRY}/{name}:{tag}"
        self.config = {"Entrypoint": list(entrypoint), "Cmd": list(command), "User": user, "WorkingDir": "/",
                       "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *environment]}
        # Path in the image → file of this machine, text, or None for a folder; with owner and mode.
        self.entries = {}

    def file(self, path, source, mode=0o755):
        self.entries[path] = (pathlib.Path(source), mode, 0)
        return self

    def text(self, path, content, mode=0o644):
        self.entries[path] = (content, mode, 0)
        return self

    def folder(self, path, mode=0o755, owner=0):
        self.entries[path] = (None, mode, owner)
        return self

    def libraries(self, program):
        """What the loader opens for a program, at the same paths."""
        listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        for path in re.findall(r"(/\S+) \(0x", listed):
            self.file(path, os.path.realpath(path))
        return self

    def packages(self, *names):
        """Installed packages and all that they depend on, file by file."""
        for name in sorted(closure(names)):
            for path in run("dpkg-query", "--listfiles", name).splitlines():
                if os.path.isfile(path) and not SKIPPED.match(path):
                    link = os.path.islink(path)
                    # /lib/x and /bin/x are under /usr where the folders are one.
                    inside = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
                    if link and os.path.realpath(path).startswith("/etc/alternatives"):
                        link = False
                    self.entries[inside] = (("link", os.readlink(path)) if link else pathlib.Path(os.path.realpath(path)), 0o755 if os.access(path, os.X_OK) else 0o644, 0)
        for top in ("bin", "sbin", "lib", "lib64"):
            if os.path.islink(f"/{top}"):
                self.entries[f"/{top}"] = (("link", os.readlink(f"/{top}")), 0o777, 0)
        # Of the alternatives, those that a script needs.
        for path in ("/usr/bin/awk", "/usr/bin/which"):
            if os.path.exists(path):
                self.entries[path] = (pathlib.Path(os.path.realpath(path)), 0o755, 0)
        return self

    def archive(self):
        """The path of the archive."""
        mark = hashlib.sha256(json.dumps([self.reference, self.config]).encode())
        for path, (source, mode, owner) in sorted(self.entries.items()):
            state = source.stat() if isinstance(source, pathlib.Path) else source
            state = (str(source), state.st_size, state.st_mtime_ns) if isinstance(state, os.stat_result) else state
            mark.update(repr((path, state, mode, owner)).encode())
        name = re.sub(r"[^a-z0-9.]+", "-", self.reference.removeprefix(REGISTRY + "/"))
        target = FOLDER / f"{name}-{mark.hexdigest()[:16]}.tar"
        if not target.exists():
            FOLDER.mkdir(parents=True, exist_ok=True)
            for older in FOLDER.glob(f"{name}-????????????????.tar"):
                older.unlink()
            self.write(target)
        return target

    def write(self, target):
        layer_path = target.with_suffix(".layer")
        with tarfile.open(layer_path, "w") as layer:
            made = set()
            for path, entry in sorted(self.entries.items()):
                for parent in reversed(pathlib.PurePosixPath(path).parents):
                    if str(parent) not in made and str(parent) not in self.entries and str(parent) != "/":
                        layer.addfile(header(str(parent), tarfile.DIRTYPE, 0o755))
                        made.add(str(parent))
                add(layer, path, *entry)
        digest = hashlib.sha256()
        with open(layer_path, "rb") as layer:
            for chunk in iter(lambda: layer.read(1 << 20), b""):
                digest.update(chunk)
        config = json.dumps({"architecture": architecture(), "os": "linux", "config": self.config,
                             "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest.hexdigest()}"]}}).encode()
        name = hashlib.sha256(config).hexdigest()
        manifest = json.dumps([{"Config": f"{name}.json", "RepoTags": [self.reference], "Layers": ["layer.tar"]}]).encode()
        with tarfile.open(target.with_suffix(".new"), "w") as whole:
            whole.add(layer_path, "layer.tar")
            for path, content in ((f"{name}.json", config), ("manifest.json", manifest)):
                entry = tarfile.TarInfo(path)
                entry.size = len(content)
                whole.addfile(entry, io.BytesIO(content))
        layer_path.unlink()
        target.with_suffix(".new").rename(target)


def header(path, kind, mode, owner=0):
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.type, entry.mode, entry.uid, entry.gid = kind, mode, owner, owner
    return entry


def add(layer, path, source, mode, owner):
    if source is None:
        layer.addfile(header(path, tarfile.DIRTYPE, mode, owner))
    elif isinstance(source, tuple):
        entry = header(path, tarfile.SYMTYPE, 0o777)
        entry.linkname = source[1]
        layer.addfile(entry)
    else:
        content = source.encode() if isinstance(source, str) else source.read_bytes()
        entry = header(path, tarfile.REGTYPE, mode, owner)
        entry.size = len(content)
        layer.addfile(entry, io.BytesIO(content))


def architecture():
    return {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def closure(names):
    """The packages that are installed of these and of what they depend on."""
    found, left = set(), list(names)
    while left:
        name = left.pop()
        done = subprocess.run(["dpkg-query", "--show", "--showformat=${Package}|${Status}|${Pre-Depends}, ${Depends}", name], capture_output=True, text=True)
        for line in done.stdout.splitlines():
            package, status, depends = line.split("|", 2)
            if not status.endswith(" installed") or package in found:
                continue
            found.add(package)
            left += [re.split(r"[ (:]", part.strip())[0] for part in re.split(r"[,|]", depends) if part.strip()]
    return found


def antispoofd(program, tag="1"):
    """As the Dockerfile has it: the same user, folders, entry point and command."""
    image = Image("antispoofd", tag, ["/usr/local/bin/antispoofd"], ["run"], "65532:65532", ["SSL_CERT_FILE=" + AUTHORITIES])
    image.file("/usr/local/bin/antispoofd", program).libraries(program).file(AUTHORITIES, AUTHORITIES, 0o644)
    image.text("/etc/passwd", "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n")
    image.text("/usr/share/doc/antispoofd/tag", tag).folder("/etc/antispoofd").folder("/tmp", 0o1777).folder("/var/lib/antispoofd", 0o755, 65532)
    image.config["WorkingDir"] = "/var/lib/antispoofd"
    return image


def static(name, program, user=""):
    image = Image(name, "1", [f"/{os.path.basename(program)}"], (), user)
    return image.file(f"/{os.path.basename(program)}", program).file(AUTHORITIES, AUTHORITIES, 0o644).folder("/tmp", 0o1777)


def everything():
    """All images of a run: (reference, archive)."""
    built = node.CACHE / "bin"
    version = {name: os.environ[f"CLUSTER_{name}"] for name in ("COREDNS", "KEDA", "POLICIES")}
    program = os.environ["CLUSTER_PROGRAM"]
    broker = Image("rabbitmq", "1", ["/usr/lib/rabbitmq/bin/rabbitmq-server"], environment=["HOME=/var/lib/rabbitmq"])
    broker.packages("rabbitmq-server", "dash", "coreutils", "sed", "grep", "mawk", "hostname", "procps", "libc-bin")
    broker.folder("/tmp", 0o1777).folder("/var/lib/rabbitmq", 0o755).folder("/var/log/rabbitmq").text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    redis = Image("redis", "1", ["/usr/bin/redis-server"]).file("/usr/bin/redis-server", "/usr/bin/redis-server").libraries("/usr/bin/redis-server").folder("/data")
    return [
        static("pause", str(built / "pause/pause")),
        static("coredns", str(built / f"coredns-{version['COREDNS']}/coredns")),
        static("keda", str(built / f"keda-{version['KEDA']}/keda"), "1000:1000"),
        static("keda-metrics-apiserver", str(built / f"keda-{version['KEDA']}/keda-adapter"), "1000:1000"),
        static("minio", os.environ["CLUSTER_MINIO"]).folder("/data"),
        static("kube-network-policies", str(built / f"policies-{version['POLICIES']}/kube-network-policies")),
        Image("cores", "1", ["/cores"]).file("/cores", built / "cores/cores").libraries(str(built / "cores/cores")),
        broker, redis,
        # The same program under two names: an upgrade of the image.
        antispoofd(program, "1"), antispoofd(program, "2"),
    ]
