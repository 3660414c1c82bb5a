"""KEDA's own operator, and the key figure."""

import json
import threading

import kube
import node
from scenes import scene

# Four workers at most: 50 calls a second, of which a rollout's surge takes its share.
SCALED = ["--set", "replicaCount=1", "--set", "keda.enabled=true", "--set", "keda.minReplicas=0", "--set", "keda.existingSecret=management", "--set",
          "keda.managementUrl=http://rabbitmq.antispoof.svc:15672", "--set", "keda.pollingInterval=5", "--set", "keda.cooldownPeriod=20", "--set",
          "apiQuota.callsPerSecond=50", "--set", "config.api.rate_limit=10"]


def operator():
    """Its operator and its metrics server, by its own manifests; only the names of the images are ours."""
    if kube.api("/apis/apps/v1/namespaces/keda/deployments/keda-operator")[0] != 200:
        kube.kubectl("apply", "--server-side", "-k", str(overlay()))
    for name in ("keda-operator", "keda-metrics-apiserver"):
        kube.kubectl("-n", "keda", "rollout", "status", f"deployment/{name}", "--timeout=180s")
    node.until("the API of external metrics", lambda: kube.api("/apis/external.metrics.k8s.io/v1beta1")[0] == 200, 120)
    kube.secret(kube.NAMESPACE, "management", {"username": "guest", "password": "guest"})


def overlay():
    import os
    import shutil
    folder = node.RUN / "keda"
    if not folder.exists():
        shutil.copytree(node.CACHE / "bin" / f"keda-{os.environ['CLUSTER_KEDA']}" / "config", folder)
    images = [{"name": f"ghcr.io/kedacore/{name}", "newName": f"antispoof.test/{name}", "newTag": "1"} for name in ("keda", "keda-metrics-apiserver")]
    never = json.dumps([{"op": "replace", "path": "/spec/template/spec/containers/0/imagePullPolicy", "value": "Never"}])
    (folder / "overlay").mkdir(exist_ok=True)
    (folder / "overlay/kustomization.yaml").write_text(json.dumps({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": ["../minimal"], "images": images,
        "patches": [{"target": {"kind": "Deployment"}, "patch": never}]}))
    return folder / "overlay"


class Replicas(threading.Thread):
    """The path of the number of replicas: 0, 1, 4, 0."""

    def __init__(self):
        super().__init__(daemon=True)
        self.path, self.over = [], threading.Event()

    def run(self):
        while not self.over.wait(0.5):
            try:
                self.look()
            except Exception:  # noqa: BLE001, S112  the API may be busy; the next look counts
                continue

    def look(self):
        wanted = kube.deployment()["spec"]["replicas"]
        if not self.path or self.path[-1] != wanted:
            self.path.append(wanted)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        self.look()


def scaled(world, *more):
    operator()
    kube.secrets()
    if world.release.installed():
        world.release.uninstall()
    world.release.helm("install", *SCALED, *more)


@scene("keda", "KEDA's operator scales the workers from 0 to 4 and back by the depth of the queue")
def keda(world):
    scaled(world)
    kube.wait_workers(0, 120)
    with Replicas() as replicas:
        with world.load("keda", None, jobs=600) as load:
            took = kube.stopwatch()
            kube.wait_workers(4, 180)
            up = took()
        figures = load.verdict(limit=300)
        took = kube.stopwatch()
        kube.wait_workers(0, 240)
        down = took()
    return f"{'→'.join(map(str, replicas.path))}; 4 ready after {up:.0f} s, none {down:.0f} s after the last job; {figures}"


@scene("key", "the key figure: 2,000 jobs through 0 → 4 → 0 by KEDA, a rolling upgrade and an eviction")
def key(world):
    scaled(world)
    kube.wait_workers(0, 120)
    with Replicas() as replicas, world.load("key", 25, jobs=world.jobs) as load:
        begun = kube.stopwatch()
        node.until("three workers or more", lambda: len([pod for pod in kube.pods() if kube.ready(pod)]) >= 3, 240)
        world.release.helm("upgrade", *SCALED, "--set-string", "image.tag=2", "--set", "config.worker.concurrency=12")
        upgraded = load.ended()
        victim = next(pod for pod in kube.pods() if kube.ready(pod))
        status, answer = kube.evict(kube.name(victim))
        if status != 201:
            raise node.Failed(f"the eviction got {status}: {answer.get('message')}")
        kube.wait_gone(kube.name(victim))
        evicted = load.ended()
        if evicted >= world.jobs:
            raise node.Failed("all jobs had ended before the eviction was over")
        load.thread.join()
        load.settle(400)
        seconds = begun()
        kube.wait_workers(0, 240)
    figures = load.judge()
    return f"{'→'.join(map(str, replicas.path))} replicas, upgraded at {upgraded}, evicted at {evicted} jobs, {seconds:.0f} s; {figures}"
