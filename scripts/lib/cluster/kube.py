"""The cluster as scenes use it: its API, kubectl, helm, and the release of our chart."""

import json
import os
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import node

NAMESPACE, RELEASE = "kyc", "antispoofd"
CHART = node.ROOT / "deploy/helm/antispoofd"
LIBRARY = node.ROOT / "scripts/lib/cluster"
WORKERS = "app.kubernetes.io/name=antispoofd,app.kubernetes.io/component=worker"
ENVIRONMENT = {**os.environ, "KUBECONFIG": str(node.RUN / "admin.kubeconfig"), "HOME": str(node.RUN)}


def run(*argv, text=None, check=True, limit=240):
    done = subprocess.run([node.binary(argv[0]), *argv[1:]], input=text, capture_output=True, text=True, env=ENVIRONMENT, timeout=limit)
    if check and done.returncode:
        # Helm remarks on each run that the chart has a symbolic link.
        said = [line for line in (done.stderr or done.stdout).splitlines() if "symbolic link" not in line]
        raise node.Failed(f"{' '.join(argv[:3])}: " + "\n".join(said)[-1500:])
    return done


def kubectl(*argv, **more):
    return run("kubectl", *argv, **more)


def apply(text, *more):
    return kubectl("apply", "-f", "-", *more, text=text if isinstance(text, str) else json.dumps(text))


def api(path, method="GET", body=None, kind="application/json"):
    """(status, answer) of the API server itself."""
    headers = {"Authorization": f"Bearer {node.TOKEN}", "Content-Type": kind}
    request = urllib.request.Request(f"https://{node.NODE}:6443{path}", body and json.dumps(body).encode(), headers, method=method)
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=node.RUN / "pki/ca.crt"), timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def get(path):
    status, answer = api(path)
    if status != 200:
        raise node.Failed(f"GET {path}: {status} {answer.get('message', '')}")
    return answer


def secret(namespace, name, data):
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}, "stringData": data})


def pods(namespace=NAMESPACE, selector=WORKERS):
    """Pods that are not on their way out, oldest first."""
    items = get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector.replace('=', '%3D').replace(',', '%2C')}")["items"]
    return sorted((pod for pod in items if "deletionTimestamp" not in pod["metadata"]), key=lambda pod: pod["metadata"]["creationTimestamp"])


def name(pod):
    return pod["metadata"]["name"]


def ready(pod):
    return any(part["type"] == "Ready" and part["status"] == "True" for part in pod["status"].get("conditions", []))


def restarts(pod):
    return sum(part["restartCount"] for part in pod["status"].get("containerStatuses", []))


def wait_workers(count, limit=150):
    """So many workers, all ready, none on its way out beside them."""
    def settled():
        found = pods()
        return len(found) == count and all(ready(pod) for pod in found) and found
    return node.until(f"{count} ready workers", settled, limit) if count else node.until("no worker", lambda: not pods(), limit)


def wait_gone(pod, limit=120):
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}"
    return node.until(f"the end of {pod}", lambda: api(path)[0] == 404, limit)


def evict(pod):
    """The status of the API's answer: 201, or 429 where a disruption budget refuses."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    return api(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction", "POST", body)


def deployment():
    return get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{RELEASE}")


def worker_pid(pod):
    """The process of a worker as this namespace sees it: that of its container whose program is ours."""
    container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    listed = subprocess.run(["ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io", "task", "list"], capture_output=True, text=True).stdout
    for line in listed.splitlines():
        fields = line.split()
        if fields and fields[0] == container:
            return int(fields[1])
    raise node.Failed(f"{name(pod)} has no process")


def metrics(pod):
    """What a worker exposes: name → sum of its series."""
    address = pod["status"]["podIP"]
    with urllib.request.urlopen(f"http://{address}:9464/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            found.setdefault(series.split("{")[0], []).append(float(value))
    return {series: sum(values) for series, values in found.items()}


class Release:
    """Our chart's release, brought to the state that a scene begins with."""

    def __init__(self):
        self.base = LIBRARY / "values.yaml"

    def helm(self, verb, *more, check=True, wait=True, limit=240):
        arguments = [verb, RELEASE]
        if verb == "template":
            # Helm of the Go proxy knows of Kubernetes 1.20 where no cluster is asked.
            arguments += [str(CHART), "--values", str(self.base), "--kube-version", os.environ["CLUSTER_KUBERNETES"]]
        if verb in ("install", "upgrade"):
            arguments += [str(CHART), "--values", str(self.base)]
        arguments += ["--namespace", NAMESPACE, *more]
        if wait and verb in ("install", "upgrade", "rollback"):
            arguments += ["--wait", "--timeout", f"{limit - 20}s"]
        return run("helm", *arguments, check=check, limit=limit)

    def installed(self):
        return run("helm", "status", RELEASE, "--namespace", NAMESPACE, check=False).returncode == 0

    def fresh(self, *more, workers=2):
        """Two workers with the settings of values.yaml, whatever was before; arguments of helm on top."""
        secrets()
        self.helm("upgrade", "--install", "--reset-values", *more)
        return wait_workers(workers)

    def uninstall(self):
        if self.installed():
            self.helm("uninstall", "--wait")
        # Helm leaves the pod of its test, as it leaves all that hooks have made.
        kubectl("-n", NAMESPACE, "delete", "pod", f"{RELEASE}-check", "--ignore-not-found")
        node.until("no worker", lambda: not get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=app.kubernetes.io%2Fname%3Dantispoofd")["items"], 90)


def secrets(**other):
    """The workers' Secret; one of its keys may be another."""
    import oracle
    secret(NAMESPACE, "antispoofd", {
        "amqp-url": "amqp://guest:guest@rabbitmq.antispoof.svc:5672/%2f",
        "videosdk-api-key": "key-of-the-test",
        "videosdk-secret": "secret-of-the-test-secret-of-the-test",
        "redis-url": "redis://redis.antispoof.svc:6379/0",
        "aws-credentials": f"[default]\naws_access_key_id = {oracle.STORE_KEY}\naws_secret_access_key = {oracle.STORE_SECRET}\n",
        **{key.replace("_", "-"): value for key, value in other.items()},
    })


def stopwatch():
    started = time.monotonic()
    return lambda: time.monotonic() - started
