"""What a node does to pods: evictions, a drain, restarts of its own parts, memory and processor taken away."""

import os
import pathlib
import signal
import subprocess

import kube
import node
from scenes import scene


@scene("eviction", "an eviction by the API under load; a second one is refused by the disruption budget")
def eviction(world):
    first, second = world.release.fresh()
    with world.load("eviction", 20) as load:
        node.until("jobs in progress", lambda: load.ended() >= 20)
        took = kube.stopwatch()
        status, _ = kube.evict(kube.name(first))
        again, answer = kube.evict(kube.name(second))
        if (status, again) != (201, 429):
            raise node.Failed(f"the first eviction got {status}, the second {again}: {answer.get('message')}")
        kube.wait_gone(kube.name(first))
        gone = took()
        kube.wait_workers(2)
        if kube.evict(kube.name(second))[0] != 201:
            raise node.Failed("the second is refused although two are ready")
        kube.wait_gone(kube.name(second))
        kube.wait_workers(2)
    return f"201, then 429 by the budget; gone in {gone:.1f} s; {load.verdict()}"


@scene("drain", "kubectl drain of the node under load: held by the budget until it is uncordoned")
def drain(world):
    before = {kube.name(pod) for pod in world.release.fresh()}
    with world.load("drain", 15) as load:
        node.until("jobs in progress", lambda: load.ended() >= 15)
        draining = subprocess.Popen([node.binary("kubectl"), "drain", "node", f"--pod-selector={kube.WORKERS}", "--timeout=150s"],
                                    env=kube.ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # The one node takes no replacement now: the budget keeps the second worker.
        node.until("one worker evicted, one waiting for a node", lambda: len([pod for pod in kube.pods() if kube.name(pod) in before]) == 1
                   and any(pod["status"]["phase"] == "Pending" for pod in kube.pods()), 60)
        ended = load.ended()
        node.until("20 more jobs by the worker that is left", lambda: load.ended() >= ended + 20, 60)
        kube.kubectl("uncordon", "node")
        said = draining.communicate(timeout=160)[0]
        kube.wait_workers(2)
        if draining.returncode or before & {kube.name(pod) for pod in kube.pods()}:
            raise node.Failed(said)
    refused = said.count("Cannot evict pod")
    if not refused:
        raise node.Failed(f"the budget refused nothing: {said}")
    return f"the budget refused {refused} times; {load.verdict()}"


def restarted(world, label, process, how):
    """A part of the node is ended and started again: the workers run on, and are not restarted."""
    before = {kube.name(pod): kube.restarts(pod) for pod in world.release.fresh()}
    pids = {kube.name(pod): kube.worker_pid(pod) for pod in kube.pods()}
    with world.load(label, 20) as load, world.least_ready("antispoof", "") as others:
        node.until("jobs in progress", lambda: load.ended() >= 20)
        process.stop(how)
        ended = load.ended()
        node.until("60 more jobs without it", lambda: load.ended() >= ended + 60, 60)
        process.start()
        # It has taken the pods over when it notices that one is evicted.
        took = kube.stopwatch()
        node.until("an eviction", lambda: kube.evict(min(before))[0] == 201, 90)
        kube.wait_gone(min(before), 120)
        kube.wait_workers(2, 200)
        seconds = took()
        left = [pod for pod in kube.pods() if kube.name(pod) == max(before)]
        if not left or kube.restarts(left[0]) != before[max(before)] or kube.worker_pid(left[0]) != pids[max(before)]:
            raise node.Failed("the other worker was restarted")
    return f"back in charge {seconds:.0f} s after its start; no worker restarted; of the 4 other pods {others.count} stayed ready; {load.verdict()}"


@scene("kubelet", "the kubelet is killed and started again under running workers")
def kubelet(world):
    return restarted(world, "kubelet", world.node.kubelet, signal.SIGKILL)


@scene("containerd", "containerd is killed and started again under running workers")
def containerd(world):
    return restarted(world, "containerd", world.node.containerd, signal.SIGKILL)


@scene("memory", "a worker is killed for memory: no job is lost, and none is paid for twice without a record")
def memory(world):
    victim = world.release.fresh()[0]
    with world.load("memory", 20) as load:
        node.until("jobs in progress", lambda: load.ended() >= 20)
        hog(kube.worker_pid(victim))
        took = kube.stopwatch()

        def killed():
            for pod in kube.pods():
                if kube.name(pod) == kube.name(victim) and kube.restarts(pod):
                    return pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"]
        reason = node.until("the restart of the worker", killed, 60)
        kube.wait_workers(2)
        seconds = took()
    # What it had in hand: at most its concurrency.
    return f"{reason}, ready again after {seconds:.0f} s; {load.verdict(explained=16)}"


def hog(pid):
    """Takes memory within the control group of a process until the kernel kills there; the group's own limit is what ends it."""
    group = control_group(pid)
    # Every process of the group is a candidate: the hog makes itself the last one.
    script = ("import os,sys\n"
              "open(sys.argv[1] + '/cgroup.procs', 'w').write(str(os.getpid()))\n"
              "open('/proc/self/oom_score_adj', 'w').write('0')\n"
              "held = []\n"
              "while True: held.append(bytearray(os.urandom(1) * (4 << 20)))\n")
    pathlib.Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    subprocess.run(["python3", "-c", script, str(group)], capture_output=True, timeout=60)


def control_group(pid, controller="memory"):
    """The folder of a process's control group."""
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return pathlib.Path(f"/sys/fs/cgroup/{controller}{path}")
        if not controllers and os.path.exists("/sys/fs/cgroup/cgroup.controllers"):
            return pathlib.Path(f"/sys/fs/cgroup{path}")
    raise node.Failed(f"no group of {controller} for process {pid}")


@scene("throttled", "a processor limit of 10m under more load than that: slow, but never restarted by its probes")
def throttled(world):
    world.release.fresh("--set", "resources.limits.cpu=10m", "--set", "resources.requests.cpu=10m")
    with world.load("throttled", 30) as load:
        node.until("jobs in progress", lambda: load.ended() >= 20, 120)
        begun = {kube.name(pod): throttling(pod) for pod in kube.pods()}
        ended, took = load.ended(), kube.stopwatch()
        # As long as the liveness probe's patience, and more.
        node.until("90 s under the limit", lambda: took() > 90, 120)
        rate = (load.ended() - ended) / took()
        found = kube.pods()
        if any(kube.restarts(pod) for pod in found) or len(found) != 2:
            raise node.Failed("a worker was restarted")
        periods = stalled = 0
        for pod in found:
            one = throttling(pod)
            periods += one["nr_periods"] - begun[kube.name(pod)]["nr_periods"]
            stalled += one["nr_throttled"] - begun[kube.name(pod)]["nr_throttled"]
        if stalled * 5 < periods:
            raise node.Failed(f"throttled in {stalled} of {periods} periods only: the scene would prove nothing")
        unready = sum(1 for pod in found if not kube.ready(pod))
    world.release.fresh()
    return f"{rate:.0f} jobs/s by two; throttled in {100 * stalled // max(1, periods)} % of the periods; {unready} unready, no restart; {load.verdict(limit=400)}"


def throttling(pod):
    folder = control_group(kube.worker_pid(pod), "cpu")
    return {name: int(value) for name, value in (line.split() for line in (folder / "cpu.stat").read_text().splitlines())}
