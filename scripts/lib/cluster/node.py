"""The one node: certificates, and every process of Kubernetes, started, watched and ended by this program alone."""

import json
import os
import pathlib
import signal
import ssl
import subprocess
import time
import urllib.request

ROOT = pathlib.Path(os.environ.get("CLUSTER_ROOT", "."))
CACHE = ROOT / ".cluster"
RUN = CACHE / "run"
LOGS = RUN / "logs"
NODE = os.environ.get("NODE_ADDRESS", "")
CGROUP = os.environ.get("CLUSTER_CGROUP", "")
# The first two of the services' range, by convention.
API_SERVICE, DNS_SERVICE = "10.96.0.1", "10.96.0.10"
PODS, SERVICES = "10.244.0.0/24", "10.96.0.0/16"
TOKEN = "cluster-admin-of-this-run"


class Failed(Exception):
    """Something that a scene or the start needed did not come true."""


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def until(what, condition, limit=120, every=0.3):
    """The condition's first true value; what it raises counts as not yet."""
    deadline = time.monotonic() + limit
    last = None
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
        except Exception as error:  # noqa: BLE001  told when the limit is over
            last = error
        time.sleep(every)
    raise Failed(f"{what}: not within {limit} s{f' ({last})' if last else ''}")


def binary(name):
    """A program that was built for the cluster, or one of the distribution."""
    versions = {"helm": "HELM", "keda": "KEDA"}
    own = CACHE / "bin" / f"kubernetes-{os.environ['CLUSTER_KUBERNETES']}" / name
    if name in versions:
        own = CACHE / "bin" / f"{name}-{os.environ['CLUSTER_' + versions[name]]}" / name
    return str(own) if own.exists() else name


class Process:
    """A part of the node, in a session of its own."""

    def __init__(self, name, *argv):
        self.name, self.argv, self.child = name, [binary(argv[0]), *argv[1:]], None

    def start(self):
        with open(LOGS / f"{self.name}.log", "ab") as log:
            self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        return self

    def stop(self, how=signal.SIGTERM):
        self.child.send_signal(how)
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(10)

    def alive(self):
        if self.child.poll() is not None:
            tail = (LOGS / f"{self.name}.log").read_text(errors="replace").splitlines()[-8:]
            raise Failed(f"{self.name} ended with {self.child.returncode}:\n" + "\n".join(tail))
        return True


def openssl(*arguments, text=""):
    subprocess.run(["openssl", *arguments], input=text.encode(), check=True, capture_output=True, cwd=RUN / "pki")


def certificate(name, authority, subject, names=""):
    """A key and a certificate by one of the two authorities."""
    extensions = f"subjectAltName={names}\n" if names else "extendedKeyUsage=clientAuth\n"
    (RUN / "pki" / f"{name}.ext").write_text(extensions)
    openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", f"{name}.key", "-out", f"{name}.csr")
    openssl("x509", "-req", "-days", "7", "-in", f"{name}.csr", "-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial",
            "-extfile", f"{name}.ext", "-out", f"{name}.crt")


def make_certificates():
    (RUN / "pki").mkdir(parents=True, exist_ok=True)
    for authority in ("ca", "front"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "7", "-subj", f"/CN=cluster-{authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.crt")
    names = ",".join(["DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc", "DNS:localhost", f"IP:{API_SERVICE}", f"IP:{NODE}", "IP:127.0.0.1"])
    certificate("apiserver", "ca", "/CN=apiserver", names)
    certificate("to-kubelet", "ca", "/O=system:masters/CN=apiserver-to-kubelet")
    certificate("aggregator", "front", "/CN=aggregator")
    openssl("genrsa", "-out", "accounts.key", "2048")
    openssl("rsa", "-in", "accounts.key", "-pubout", "-out", "accounts.pub")


def write_configuration():
    for folder in ("logs", "containerd", "kubelet", "plugins", "cni", "etcd"):
        (RUN / folder).mkdir(parents=True, exist_ok=True)
    (RUN / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
    (RUN / "admin.kubeconfig").write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "cluster",
        "clusters": [{"name": "cluster", "cluster": {"server": f"https://{NODE}:6443", "certificate-authority": str(RUN / "pki/ca.crt")}}],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "admin"}}],
    }))
    (RUN / "admin.kubeconfig").chmod(0o600)
    (RUN / "resolv.conf").write_text("")
    # A link for each pod and routes between them: all traffic passes the node's packet filter, where kube-proxy works. (kind does the same.)
    (RUN / "cni/10-pods.conflist").write_text(json.dumps({
        "cniVersion": "0.4.0", "name": "pods",
        "plugins": [{"type": "ptp", "ipMasq": False, "ipam": {"type": "host-local", "subnet": PODS, "dataDir": "/run/cni-addresses", "routes": [{"dst": "0.0.0.0/0"}]}}],
    }))
    (RUN / "containerd.toml").write_text(f"""version = 2
root = "{RUN}/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{RUN}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "antispoof.test/pause:1"
  # A score below that of this process may not be ours to give.
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{RUN}/cni"
""")
    (RUN / "kubelet.json").write_text(json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration", "address": NODE,
        "authentication": {"x509": {"clientCAFile": str(RUN / "pki/ca.crt")}, "anonymous": {"enabled": False}, "webhook": {"enabled": True}},
        "clusterDNS": [DNS_SERVICE], "clusterDomain": "cluster.local", "resolvConf": str(RUN / "resolv.conf"),
        "cgroupDriver": "cgroupfs", "cgroupRoot": f"/{CGROUP}", "cgroupsPerQOS": True, "enforceNodeAllocatable": [],
        "failSwapOn": False, "localStorageCapacityIsolation": False, "imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock", "volumePluginDir": str(RUN / "plugins"),
    }))


def make_control_groups():
    """The folder under which the kubelet makes those of the pods, in each hierarchy: it makes none itself."""
    base = pathlib.Path("/sys/fs/cgroup")
    for hierarchy in [base] if (base / "cgroup.controllers").exists() else [path for path in base.iterdir() if (path / "cgroup.procs").exists()]:
        folder = hierarchy / CGROUP
        folder.mkdir(exist_ok=True)
        for name in ("cpuset.mems", "cpuset.cpus"):
            # In the old hierarchy a new group has neither, and takes no process then.
            if (hierarchy / name).exists() and not (folder / name).read_text().strip():
                (folder / name).write_text((hierarchy / name).read_text())


def control_plane():
    pki, kubeconfig = RUN / "pki", f"--kubeconfig={RUN}/admin.kubeconfig"
    return [
        Process("etcd", "etcd", f"--data-dir={RUN}/etcd", "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
                "--listen-peer-urls=http://127.0.0.1:2380"),
        Process("apiserver", "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0", f"--advertise-address={NODE}", "--secure-port=6443",
                f"--tls-cert-file={pki}/apiserver.crt", f"--tls-private-key-file={pki}/apiserver.key", f"--client-ca-file={pki}/ca.crt",
                "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={pki}/accounts.pub",
                f"--service-account-signing-key-file={pki}/accounts.key", f"--token-auth-file={RUN}/tokens.csv", "--authorization-mode=Node,RBAC", "--allow-privileged",
                "--kubelet-preferred-address-types=InternalIP",
                f"--service-cluster-ip-range={SERVICES}", f"--kubelet-client-certificate={pki}/to-kubelet.crt", f"--kubelet-client-key={pki}/to-kubelet.key",
                # For KEDA's metrics, which are an API of their own behind this one.
                f"--requestheader-client-ca-file={pki}/front.crt", "--requestheader-allowed-names=aggregator", "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                f"--proxy-client-cert-file={pki}/aggregator.crt", f"--proxy-client-key-file={pki}/aggregator.key"),
        Process("controllers", "kube-controller-manager", kubeconfig, f"--service-account-private-key-file={pki}/accounts.key", f"--root-ca-file={pki}/ca.crt",
                "--use-service-account-credentials=true", "--leader-elect=false", "--bind-address=127.0.0.1",
                f"--authentication-kubeconfig={RUN}/admin.kubeconfig", f"--authorization-kubeconfig={RUN}/admin.kubeconfig"),
        Process("scheduler", "kube-scheduler", kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1",
                f"--authentication-kubeconfig={RUN}/admin.kubeconfig", f"--authorization-kubeconfig={RUN}/admin.kubeconfig"),
    ]


class Node:
    """All of it, in the order in which it comes up."""

    def __init__(self):
        kubeconfig = f"--kubeconfig={RUN}/admin.kubeconfig"
        self.containerd = Process("containerd", "containerd", "--config", str(RUN / "containerd.toml"))
        self.kubelet = Process("kubelet", "kubelet", f"--config={RUN}/kubelet.json", kubeconfig, f"--root-dir={RUN}/kubelet", "--hostname-override=node", f"--node-ip={NODE}")
        # The tables of connections are shared by all network namespaces of the machine; their size is not ours.
        self.proxy = Process("kube-proxy", "kube-proxy", kubeconfig, "--hostname-override=node", "--proxy-mode=iptables", f"--cluster-cidr={PODS}",
                             "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
                             "--metrics-bind-address=127.0.0.1:10249", "--healthz-bind-address=127.0.0.1:10256")
        self.plane = []

    def start(self, images):
        make_certificates()
        write_configuration()
        make_control_groups()
        self.containerd.start()
        self.plane = [process.start() for process in control_plane()]
        for image in images:
            until("containerd", lambda image=image: self.containerd.alive() and ctr("images", "import", str(image)), 60)
        until("the API server", self.ready, 120)
        self.kubelet.start()
        self.proxy.start()

    def ready(self):
        for process in self.plane:
            process.alive()
        request = urllib.request.Request(f"https://{NODE}:6443/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=RUN / "pki/ca.crt"), timeout=5) as answer:
            return answer.status == 200

    def processes(self):
        return [*self.plane, self.containerd, self.kubelet, self.proxy]


def ctr(*arguments):
    """containerd's own tool, in the namespace of Kubernetes."""
    done = subprocess.run(["ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"ctr {' '.join(arguments)}: {done.stderr.strip()}")
    return True
