"""Secrets that change in place, the kustomize base, alerts, the network policy, and what is refused."""

import json
import os
import re
import subprocess
import urllib.error
import urllib.parse

import kube
import node
from scenes import scene


@scene("rotation", "the API's secret and the broker's password change under load: the kubelet refreshes the files, no restart")
def rotation(world):
    import oracle
    user = {"password": "before-the-rotation", "tags": ""}
    oracle.management("/users/worker", user, "PUT")
    oracle.management("/permissions/%2f/worker", {"configure": ".*", "write": ".*", "read": ".*"}, "PUT")
    url = "amqp://worker:{}@rabbitmq.antispoof.svc:5672/%2f"
    world.release.fresh()
    kube.secrets(amqp_url=url.format("before-the-rotation"))
    world.release.helm("upgrade", "--set", "podAnnotations.rotation=begun")
    before = {kube.name(pod): kube.restarts(pod) for pod in kube.wait_workers(2)}
    keys = {"type": "keys", "api_key": "key-of-the-test"}
    try:
        with world.load("rotation", 15) as load:
            node.until("jobs in progress", lambda: load.ended() >= 20)
            took = kube.stopwatch()
            kube.secrets(amqp_url=url.format("after-the-rotation"), videosdk_secret="another-secret-of-the-test-another-secret")
            oracle.vendor("config", {"auth": {**keys, "secret": "another-secret-of-the-test-another-secret"}})
            # The broker looks at a password when a connection is opened; so those of the workers are cut.
            oracle.management("/users/worker", {**user, "password": "after-the-rotation"}, "PUT")
            for link in oracle.management("/connections"):
                if link.get("user") == "worker":
                    cut(link["name"])
            node.until("the files in every pod", lambda: all(replaced(pod) for pod in before), 180)
            seconds = took()
            ended = load.ended()
            node.until("40 more jobs by the new secrets", lambda: load.ended() >= ended + 40, 120)
        figures = load.verdict()
        after = {kube.name(pod): kube.restarts(pod) for pod in kube.pods()}
        if after != before:
            raise node.Failed(f"workers were restarted: {before} → {after}")
    finally:
        oracle.vendor("config", {"auth": {**keys, "secret": "secret-of-the-test-secret-of-the-test"}})
    return f"taken by both workers after {seconds:.0f} s; no restart; {figures}"


def cut(connection):
    """Closes a connection as an operator does. The list is a second old: it may be gone already."""
    import oracle
    try:
        oracle.management(f"/connections/{urllib.parse.quote(connection, safe='')}", method="DELETE")
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise


def replaced(pod):
    said = kube.kubectl("-n", kube.NAMESPACE, "logs", pod).stdout
    return "api.secret_file was replaced" in said and "amqp.url_file was replaced" in said


@scene("kustomize", "the kustomize example over the base, with an overlay that has this cluster's addresses, under load")
def kustomize(world):
    world.release.uninstall()
    kube.secrets()
    folder = node.RUN / "kustomize"
    folder.mkdir(exist_ok=True)
    example = kube.CHART.parents[1] / "kustomize/example"
    settings = (example / "antispoofd.toml").read_text()
    settings = settings.replace("[s3]\n", '[s3]\nendpoint_url = "http://minio.antispoof.svc:9000"\npath_style = true\n')
    settings = settings.replace("[api]\n", '[api]\nurl = "http://vendor.antispoof.svc:9470/ai/v1/face-verification/detect-spoof"\n')
    (folder / "antispoofd.toml").write_text(settings)
    container = "/spec/template/spec/containers/0"
    patch = [{"op": "replace", "path": f"{container}/imagePullPolicy", "value": "Never"},
             {"op": "add", "path": f"{container}/env", "value": [
                 {"name": "AWS_SHARED_CREDENTIALS_FILE", "value": "/etc/antispoofd/secrets/aws-credentials"}]},
             {"op": "add", "path": "/spec/template/spec/volumes/1/projected/sources/-", "value": {
                 "secret": {"name": "antispoofd", "items": [{"key": "aws-credentials", "path": "aws-credentials"}]}}}]
    (folder / "kustomization.yaml").write_text(json.dumps({
        "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [os.path.relpath(example, folder)],
        "images": [{"name": "registry.example.com/antispoofd", "newName": "antispoof.test/antispoofd", "newTag": "1"}],
        "replicas": [{"name": "antispoofd", "count": 2}],
        "configMapGenerator": [{"name": "antispoofd", "namespace": kube.NAMESPACE, "behavior": "replace", "files": ["antispoofd.toml"]}],
        "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps(patch)}]}))
    kube.kubectl("apply", "-k", str(folder))
    try:
        first, second = kube.wait_workers(2)
        with world.load("kustomize", 15) as load:
            node.until("jobs in progress", lambda: load.ended() >= 20)
            statuses = [kube.evict(kube.name(pod))[0] for pod in (first, second)]
            if statuses != [201, 429]:
                raise node.Failed(f"two evictions got {statuses}")
            kube.wait_gone(kube.name(first))
            kube.wait_workers(2)
        return f"evictions 201, 429; {load.verdict()}"
    finally:
        kube.kubectl("delete", "-k", str(folder), "--ignore-not-found")


@scene("alerts", "Prometheus scrapes the pods: each series of our rules is there, no alert fires; one does when the gate closes")
def alerts(world):
    import oracle
    import yaml
    workers = world.release.fresh("--set", "config.api.daily_call_limit=100000")
    rendered = world.release.helm("template", "--set", "prometheusRule.enabled=true", "--set", "prometheusRule.patienceMinutes=1").stdout
    rules = next(part["spec"] for part in yaml.safe_load_all(rendered) if part and part["kind"] == "PrometheusRule")
    folder = node.RUN / "prometheus"
    folder.mkdir(exist_ok=True)
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules))
    # The labels that a PodMonitor brings.
    targets = [{"targets": [f"{pod['status']['podIP']}:9464"], "labels": {"namespace": kube.NAMESPACE, "pod": kube.name(pod), "container": "worker"}} for pod in workers]
    (folder / "prometheus.yml").write_text(yaml.safe_dump({
        "global": {"scrape_interval": "3s", "evaluation_interval": "3s"}, "rule_files": ["rules.yaml"],
        "scrape_configs": [
            {"job_name": "workers", "static_configs": targets},
            {"job_name": "broker", "metrics_path": "/metrics/detailed", "params": {"family": ["queue_coarse_metrics"]}, "static_configs": [{"targets": [f"{oracle.BROKER}:15692"]}]}]}))
    prometheus = node.Process("prometheus", os.environ["CLUSTER_PROMETHEUS"], f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                              "--web.listen-address=127.0.0.1:9090").start()
    try:
        with world.load("alerts", 10) as load:
            node.until("both workers scraped", lambda: len(query("up{job='workers'} == 1")) == 2, 60)
            node.until("jobs in progress", lambda: load.ended() >= 30)
            names = sorted(set(re.findall(r"\b(?:antispoofd|rabbitmq)_[a-z_]+", json.dumps(rules))))
            absent = lambda: [name for name in names if not query(name)]
            try:
                # The broker tells of its queues some seconds after they changed.
                node.until("each series exposed", lambda: not absent(), 60)
            except node.Failed as failed:
                raise node.Failed(f"not exposed: {absent()}") from failed
            node.until("each rule evaluated", lambda: all(rule["health"] == "ok" for rule in evaluated()), 60)
            broken = [rule["name"] for rule in evaluated() if rule.get("lastError")]
            if broken:
                raise node.Failed(f"rules that fail: {broken}")
            # Rules are first evaluated before anything is scraped: until then no worker is seen.
            node.until("no alert, pending ones included", lambda: all(rule["state"] == "inactive" for rule in evaluated()), 30)
            count = len(evaluated())
            oracle.vendor("config", {"faults": "401=100%"})
            took = kube.stopwatch()
            node.until("AntispoofdGateClosed", lambda: any(rule["name"] == "AntispoofdGateClosed" and rule["state"] == "firing" for rule in evaluated()), 240)
            seconds = took()
            firing = sorted(rule["name"] for rule in evaluated() if rule["state"] == "firing")
            oracle.vendor("config", {"faults": ""})
        figures = load.verdict(limit=240)
    finally:
        oracle.vendor("config", {"faults": ""})
        prometheus.stop()
    return f"{len(names)} series of {count} rules exposed; gate closed: {', '.join(firing)} after {seconds:.0f} s; {figures}"


def prometheus_api(path):
    import oracle
    return oracle.ask(f"http://127.0.0.1:9090/api/v1/{path}")["data"]


def query(expression):
    return prometheus_api(f"query?query={urllib.parse.quote(expression)}")["result"]


def evaluated():
    return [rule for group in prometheus_api("rules")["groups"] for rule in group["rules"]]


# What brings the first packet of each connection to the engine. It has a rule of its own for that, which a kernel without CONFIG_NFT_QUEUE refuses; the older
# form of the same is in more kernels, and with both a packet is judged twice to the same end. The node's own packets (the kubelet's probes) pass, as by its rule.
QUEUE = ("POSTROUTING", "-m", "owner", "!", "--uid-owner", "0", "-m", "conntrack", "--ctstate", "NEW", "-j", "NFQUEUE", "--queue-num", "100")


def packet_filter(how):
    kube.run("iptables", "-t", "mangle", how, *QUEUE)


# Who answers a connection: from a pod's network, to an address and port.
def reaches(pid, address, port):
    script = f"exec 3<>/dev/tcp/{address}/{port}"
    return subprocess.run(["nsenter", "-t", str(pid), "-n", "timeout", "3", "bash", "-c", script], capture_output=True).returncode == 0


@scene("policy", "the network policy under a real engine: jobs flow, the metrics port and the rest of the network are shut")
def policy(world):
    import oracle
    kube.apply((kube.LIBRARY / "policies.yaml").read_text())
    node.until("the engine", lambda: kube.ready(kube.get("/api/v1/namespaces/kube-system/pods/kube-network-policies")), 60)
    packet_filter("-A")
    try:
        values = ["--set", "networkPolicy.enabled=true", "--set-json", "networkPolicy.egress.s3.ports=[9000]", "--set-json", "networkPolicy.egress.api.ports=[9470]"]
        open_before = world.release.fresh()
        vendor = kube.get("/api/v1/namespaces/antispoof/pods/vendor")
        inside, outside = kube.worker_pid(open_before[0]), kube.worker_pid(vendor)
        if not (reaches(outside, open_before[0]["status"]["podIP"], 9464) and reaches(inside, oracle.BROKER, 15672)):
            raise node.Failed("without a policy something is shut already: the test would prove nothing")
        with world.load("policy", 15) as load:
            world.release.helm("upgrade", *values)
            workers = kube.wait_workers(2)
            inside, address = kube.worker_pid(workers[0]), workers[0]["status"]["podIP"]
            node.until("the policy in force", lambda: not reaches(inside, oracle.BROKER, 15672), 60)
            found = {
                "the broker's management from a worker": reaches(inside, oracle.BROKER, 15672),
                "the metrics port from another pod": reaches(outside, address, 9464),
            }
            wanted = {"the broker from a worker": reaches(inside, oracle.BROKER, 5672), "the probes' port from the node": bool(kube.metrics(workers[0]))}
            if any(found.values()) or not all(wanted.values()):
                raise node.Failed(f"open: {[name for name in found if found[name]]}, shut: {[name for name in wanted if not wanted[name]]}")
            ended = load.ended()
            node.until("40 more jobs under the policy", lambda: load.ended() >= ended + 40, 60)
            said = world.release.helm("test").stdout
            if "Succeeded" not in said:
                raise node.Failed(said)
        figures = load.verdict()
    finally:
        packet_filter("-D")
        kube.kubectl("delete", "-f", "-", "--ignore-not-found", text=(kube.LIBRARY / "policies.yaml").read_text())
        world.release.fresh()
    return f"management and metrics port shut, broker and probes open, helm test succeeded; {figures}"


@scene("refused", "wrong values, each refused by the chart or by the API server, none by a pod that cannot start")
def refused(world):
    by = {"chart": [], "API server": []}
    accepted, other = [], []
    for line in (kube.LIBRARY / "refused.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        who, arguments = (part.strip() for part in line.split("|", 1))
        rendered = world.release.helm("template", *arguments.split(), check=False)
        actual, said = "chart", rendered.stderr
        if not rendered.returncode:
            applied = kube.kubectl("apply", "--dry-run=server", "-n", kube.NAMESPACE, "-f", "-", text=rendered.stdout, check=False)
            actual, said = "API server", applied.stderr
            if not applied.returncode:
                accepted.append(arguments)
                continue
        reason = [text for text in said.splitlines() if text.strip() and "symbolic link" not in text and "Use --debug" not in text][-1]
        node.say(f"  {actual}: {arguments}: {reason.strip()[:200]}")
        if actual != who:
            other.append(f"{arguments} (by the {actual})")
        by[who].append(arguments)
    if accepted or other:
        raise node.Failed(f"accepted: {accepted}; refused by the other: {other}")
    return ", ".join(f"{len(found)} by the {who}" for who, found in by.items())
