"""Install, test, upgrade, roll back, and upgrades that are bad."""

import json

import kube
import node
from scenes import scene


@scene("install", "helm install while jobs wait already; each ends, paid once")
def install(world):
    world.release.uninstall()
    kube.secrets()
    with world.load("install", 25, jobs=100) as load:
        took = kube.stopwatch()
        world.release.helm("install")
        seconds = took()
    kube.wait_workers(2)
    return f"ready in {seconds:.0f} s; {load.verdict()}"


@scene("test", "helm test under load")
def test(world):
    world.release.fresh()
    with world.load("test", 15) as load:
        said = world.release.helm("test", "--logs").stdout
        if "Phase:          Succeeded" not in said:
            raise node.Failed(said)
    return load.verdict()


@scene("upgrade", "a rolling upgrade to another image and other settings under load")
def upgrade(world):
    before = {kube.name(pod) for pod in world.release.fresh()}
    with world.load("upgrade", 20) as load:
        node.until("jobs in progress", lambda: load.ended() >= 20)
        took, least = kube.stopwatch(), world.least_ready()
        with least:
            world.release.helm("upgrade", "--set-string", "image.tag=2", "--set", "config.worker.concurrency=20")
        seconds = took()
        after = {kube.name(pod) for pod in kube.wait_workers(2)}
        if before & after:
            raise node.Failed(f"still there: {before & after}")
    return f"{seconds:.0f} s, never below {least.count} ready; {load.verdict()}"


@scene("rollback", "helm rollback under load")
def rollback(world):
    world.release.fresh()
    world.release.helm("upgrade", "--set-string", "image.tag=2")
    with world.load("rollback", 20) as load:
        took = kube.stopwatch()
        world.release.helm("rollback")
        seconds = took()
        for pod in kube.wait_workers(2):
            if not pod["spec"]["containers"][0]["image"].endswith(":1"):
                raise node.Failed(f"{kube.name(pod)} has {pod['spec']['containers'][0]['image']}")
    return f"{seconds:.0f} s; {load.verdict()}"


def bad(world, label, *arguments, sign):
    """An upgrade that cannot become ready: the old pods stay, work on, and a rollback removes the new one. The sign is looked for in the new pod's state and events."""
    before = {kube.name(pod) for pod in world.release.fresh()}
    with world.load(f"bad-{label}", 15) as load:
        world.release.helm("upgrade", *arguments, wait=False)

        def stuck():
            for pod in kube.pods():
                if kube.name(pod) not in before:
                    events = kube.get(f"/api/v1/namespaces/{kube.NAMESPACE}/events?fieldSelector=involvedObject.name%3D{kube.name(pod)}")["items"]
                    return sign in json.dumps([pod["status"].get("containerStatuses"), [event["reason"] for event in events]])
            return False
        node.until(f"a new pod with {sign}", stuck, 90)
        ended = load.ended()
        node.until("40 more jobs ended by the old pods", lambda: load.ended() >= ended + 40, 60)
        now = {kube.name(pod): pod for pod in kube.pods()}
        for pod in before:
            if pod not in now or not kube.ready(now[pod]) or kube.restarts(now[pod]):
                raise node.Failed(f"{pod} was taken down")
        took = kube.stopwatch()
        world.release.helm("rollback")
        kube.wait_workers(2)
        if {kube.name(pod) for pod in kube.pods()} != before:
            raise node.Failed("the rollback replaced pods that were well")
    return f"{sign}; old pods untouched, rolled back in {took():.0f} s; {load.verdict()}"


@scene("bad-image", "an upgrade to an image that is not there does not take the old pods down")
def bad_image(world):
    return bad(world, "image", "--set", "image.tag=never-built", sign="ErrImageNeverPull")


@scene("bad-secret", "an upgrade to a Secret that holds nonsense does not take the old pods down")
def bad_secret(world):
    kube.secret(kube.NAMESPACE, "nonsense", {"amqp-url": "not a url"})
    return bad(world, "secret", "--set", "secrets.amqpUrl.existingSecret=nonsense", sign='"exitCode": 78')


@scene("no-secret", "an upgrade to a Secret that is not there does not take the old pods down")
def no_secret(world):
    return bad(world, "no-secret", "--set", "secrets.amqpUrl.existingSecret=not-there", sign="FailedMount")


@scene("bad-settings", "an upgrade to settings that only the program refuses does not take the old pods down")
def bad_settings(world):
    return bad(world, "settings", "--set", "config.s3.default_bucket=another", sign='"exitCode": 78')
