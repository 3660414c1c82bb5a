"""What a worker takes of processor and memory, measured in its own control group: the figures of docs/sizing.md.

The jobs are there before the worker: it is the worker that is measured, not how fast they are published.
"""

import hashlib
import json
import pathlib
import re
import time
import urllib.request

import kube
import node
from scenes import scene
from scenes_node import control_group, throttling

MIB = 1024 * 1024


def memory(pod):
    """In MiB: working set as the kubelet counts it (without what the kernel would drop first), anonymous memory, resident memory of the process, peak with page cache."""
    pid = kube.worker_pid(pod)
    folder = control_group(pid)
    if (folder / "memory.current").exists():
        usage, peak, file_key, anonymous = "memory.current", "memory.peak", "inactive_file", "anon"
    else:
        usage, peak, file_key, anonymous = "memory.usage_in_bytes", "memory.max_usage_in_bytes", "total_inactive_file", "total_rss"
    stat = {name: int(value) for name, value in (line.split() for line in (folder / "memory.stat").read_text().splitlines())}
    read = {name: int((folder / name).read_text()) for name in (usage, peak)}
    resident = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024
    return tuple(value / MIB for value in (read[usage] - stat[file_key], stat[anonymous], resident, read[peak]))


def processor(pod):
    """Seconds of processor that the worker has used since its start."""
    fields = pathlib.Path(f"/proc/{kube.worker_pid(pod)}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def scale(count):
    kube.kubectl("-n", kube.NAMESPACE, "scale", f"deployment/{kube.RELEASE}", f"--replicas={count}")


class Burst:
    """Jobs on a few images, all of them in the queue before a worker is there."""

    def __init__(self, world, jobs, objects, size):
        import oracle
        import pika
        world.round += 1
        self.world, self.ids, self.digests = world, [f"burst-{world.round}-{number}" for number in range(jobs)], []
        scale(0)
        kube.wait_workers(0)
        store, link = oracle.Store(), oracle.broker()
        channel = link.channel()
        channel.confirm_delivery()
        images = []
        for number in range(objects):
            content, key = oracle.image(f"burst-{world.round}-{number}", size), f"burst-{world.round}-{number}.jpg"
            self.digests.append(hashlib.sha256(content).hexdigest())
            images.append({"bucket": oracle.BUCKET, "key": key, "etag": store.put(f"/{oracle.BUCKET}/{key}", content)})
        for number, name in enumerate(self.ids):
            body = json.dumps({"id": name, **images[number % objects]}).encode()
            channel.basic_publish("antispoof.jobs", "antispoof.jobs", body, pika.BasicProperties(content_type="application/json", delivery_mode=2), mandatory=True)
        link.close()

    def run(self, look=lambda pod: None):
        """Starts the one worker, looks at it until the last event; jobs a second between the first event and the last, and the worker."""
        import oracle
        scale(1)
        pod = kube.wait_workers(1)[0]
        while any(not seen for seen in self.world.witness.of(self.ids).values()):
            look(pod)
        pod = kube.pods()[0]
        if kube.restarts(pod):
            raise node.Failed("the worker was restarted")
        failed = [seen[0][0]["data"] for seen in self.world.witness.of(self.ids).values() if "outcome" not in seen[0][0]["data"]]
        if failed:
            raise node.Failed(f"{len(failed)} jobs without a verdict: {failed[0]}")
        times = sorted(seen[0][1] for seen in self.world.witness.of(self.ids).values())
        calls = oracle.vendor()["images"]
        billed = sum(calls[digest]["billed"] for digest in self.digests)
        if billed != len(self.ids):
            raise node.Failed(f"{billed} calls for {len(self.ids)} jobs")
        return len(times) / (times[-1] - times[0]), pod


@scene("processor", "limits.cpu none, 1, 500m and 200m: jobs a second, processor for a job, throttling")
def limits(world):
    import oracle
    oracle.vendor("config", {"latency": "100ms"})
    figures = []
    try:
        for limit in (None, "1", "500m", "200m"):
            more = ["--set", f"resources.limits.cpu={limit}"] if limit else []
            world.release.fresh("--set", "replicaCount=1", "--set", "config.worker.concurrency=64", *more, workers=1)
            slowest = [0]

            def look(worker, slowest=slowest):
                took = kube.stopwatch()
                with urllib.request.urlopen(f"http://{worker['status']['podIP']}:9464/livez", timeout=10) as answer:
                    answer.read()
                slowest[0] = max(slowest[0], took())
                time.sleep(0.1)
            rate, pod = Burst(world, 3000, 20, 200_000).run(look)
            after, used = throttling(pod), processor(pod)
            share = 100 * after["nr_throttled"] / after["nr_periods"] if after["nr_periods"] else 0
            figures.append(f"{limit or 'none'}: {rate:.0f} jobs/s, {1000 * used / 3000:.2f} ms a job, throttled in {share:.0f} % of the periods, slowest probe {1000 * slowest[0]:.0f} ms")
            node.say("  " + figures[-1])
    finally:
        oracle.vendor("config", {"latency": "uniform:300ms..900ms"})
        world.release.fresh()
    return "; ".join(figures)


@scene("memory-figures", "idle, 16 jobs of 200 kB and 64 of 10 MB in flight within the default limit: no OOM kill")
def memory_figures(world):
    import oracle
    figures = []
    oracle.vendor("config", {"latency": "2s"})
    try:
        for label, concurrency, jobs, size in (("idle", 16, 0, 0), ("16 × 200 kB", 16, 160, 200_000), ("64 × 10 MB", 64, 256, 10_000_000)):
            pod = world.release.fresh("--set", "replicaCount=1", "--set", f"config.worker.concurrency={concurrency}", workers=1)[0]
            most = [memory(pod)]
            if jobs:
                flight = [0]

                def look(worker, most=most, flight=flight):
                    most[0] = tuple(max(pair) for pair in zip(most[0], memory(worker), strict=True))
                    flight[0] = max(flight[0], oracle.vendor("stats?images=false")["in_flight"])
                most[0] = (0, 0, 0, 0)
                Burst(world, jobs, min(jobs, 64), size).run(look)
                label += f" ({flight[0]} calls at once)"
            figures.append("{}: working set {:.0f} MiB, anonymous {:.0f}, resident {:.0f}, peak with page cache {:.0f}".format(label, *most[0]))
            node.say("  " + figures[-1])
    finally:
        oracle.vendor("config", {"latency": "uniform:300ms..900ms"})
        world.release.fresh()
    return "; ".join(figures)


@scene("cores", "what Rust's standard library says of the processors under a limit, which is what conversions go by")
def cores(world):  # noqa: ARG001
    figures = []
    for limit in ("none", "1", "500m", "1500m"):
        name = f"cores-{limit}"
        resources = {} if limit == "none" else {"limits": {"cpu": limit}}
        kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "antispoof"}, "spec": {
            "restartPolicy": "Never", "containers": [{"name": "cores", "image": "antispoof.test/cores:1", "imagePullPolicy": "Never", "resources": resources}]}})
        node.until(name, lambda name=name: kube.get(f"/api/v1/namespaces/antispoof/pods/{name}")["status"]["phase"] == "Succeeded", 60)
        figures.append(f"{limit}: {kube.kubectl('-n', 'antispoof', 'logs', name).stdout.strip()}")
        kube.kubectl("-n", "antispoof", "delete", "pod", name, "--wait=false")
    return ", ".join(figures)
