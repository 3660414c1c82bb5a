"""Starts the node and what the workers need, plays the scenes, prints what came of them. It runs inside the cluster's namespaces, by scripts/cluster."""

import argparse
import os
import subprocess
import sys
import time
import traceback

import node
from scenes import ALL, World, chosen


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/cluster", add_help=False)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--scenes", default="")
    parser.add_argument("--jobs", type=int, default=2000)
    return parser.parse_args()


def main():
    wanted = arguments()
    load_scenes()
    names = chosen([name for name in wanted.scenes.split(",") if name])
    if wanted.list:
        for name in names:
            print(f"{name:14} {ALL[name][0]}")
        return 0
    begun = time.monotonic()
    try:
        world = start(wanted.jobs)
    except Exception:  # noqa: BLE001  told whole, with the ends of the logs
        traceback.print_exc()
        return 70
    node.say(f"the cluster is up after {time.monotonic() - begun:.0f} s")
    rows = [play(world, name) for name in names]
    text = table(rows)
    print(text, flush=True)
    (node.CACHE / "last-run.txt").write_text(text + "\n")
    return 0 if all(row[2] == "passed" for row in rows) else 1


def load_scenes():
    """Each module registers its own. The order is that of a run."""
    import scenes_release  # noqa: F401
    import scenes_node  # noqa: F401
    import scenes_scale  # noqa: F401
    import scenes_else  # noqa: F401
    import scenes_figures  # noqa: F401


def start(jobs):
    import images
    import kube
    import oracle
    node.LOGS.mkdir(parents=True, exist_ok=True)
    archives = [image.archive() for image in images.everything()]
    parts = node.Node()
    parts.start(archives)
    node.until("the node", lambda: parts.kubelet.alive() and any(
        part["type"] == "Ready" and part["status"] == "True" for part in kube.get("/api/v1/nodes/node")["status"]["conditions"]), 90)
    node.say("the node is ready")
    for manifest in ("coredns", "services"):
        node.until(manifest, lambda manifest=manifest: kube.apply((kube.LIBRARY / f"{manifest}.yaml").read_text()), 60)
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": kube.NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    services = [("kube-system", "coredns"), *(("antispoof", name) for name in ("rabbitmq", "minio", "vendor", "redis"))]
    for namespace, name in services:
        node.until(f"pod {name}", lambda namespace=namespace, name=name: kube.ready(kube.get(f"/api/v1/namespaces/{namespace}/pods/{name}")), 120)
    oracle.Store().put(f"/{oracle.BUCKET}")
    # Jobs are published before the first worker is there.
    subprocess.run([os.environ["CLUSTER_PROGRAM"], "topology", "apply"], check=True, capture_output=True,
                   env={"ANTISPOOFD__AMQP__URL": f"amqp://guest:guest@{oracle.BROKER}:5672/%2f"})
    witness = oracle.Witness()
    witness.start()
    node.until("the witness' queue", lambda: any(entry["name"] == "witness" for entry in oracle.management("/queues/%2f")), 30)
    return World(parts, witness, jobs)


def play(world, name):
    node.say(f"=== {name}: {ALL[name][0]}")
    begun = time.monotonic()
    try:
        said, result = ALL[name][1](world), "passed"
    except Exception as error:  # noqa: BLE001  a scene that fails is a line of the table, and the next one is played
        said, result = str(error) or repr(error), "FAILED"
        traceback.print_exc(file=sys.stdout)
    seconds = time.monotonic() - begun
    node.say(f"{name}: {result} after {seconds:.0f} s: {said}")
    return name, seconds, result, said


def table(rows):
    lines = [f"\n{'scene':14} {'s':>4}  {'result':7} figures"]
    for name, seconds, result, said in rows:
        lines.append(f"{name:14} {seconds:4.0f}  {result:7} {said.splitlines()[0]}")
    passed = sum(1 for row in rows if row[2] == "passed")
    return "\n".join([*lines, f"{passed} of {len(rows)} scenes passed"])


if __name__ == "__main__":
    sys.exit(main())
