"""What scripts/chart does with YAML, TOML and JSON. Run by it, in an environment that has PyYAML.

chart.py settings-schema SCHEMA VALUES_SCHEMA [--update]         the block `config` of the schema, and durations.json beside it, follow from the program's schema
chart.py readme VALUES_YAML README [--update]                    the README's table follows from the values
chart.py settings MANIFESTS DIRECTORY                            antispoofd.toml and dummy secrets, laid out as in the pod
chart.py json MANIFESTS                                          the documents as one JSON list
chart.py restricted MANIFESTS                                    the restricted pod security standard, and no Secret
chart.py whole MANIFESTS                                         nothing empty; what one object says of another is so
chart.py common MANIFESTS KEY VALUE                              every object has the label and the annotation
chart.py expect MANIFESTS KIND PATH VALUE                        the field of the only object of its kind
chart.py topology MANIFESTS DEFINITIONS                          RabbitMQ's resources, against what the program would declare
chart.py rules MANIFESTS                                         the groups of the PrometheusRule, as promtool reads them
chart.py plain-rules MANIFESTS FILE [--update]                   FILE has the same rules for a Prometheus without Kubernetes
chart.py kustomize MANIFESTS DIRECTORY                           a kustomize base
"""

import json
import pathlib
import re
import sys
import tomllib

import yaml

import chart_made

def main(command, *arguments):
    update = "--update" in arguments
    words = arguments[1:]
    paths = [pathlib.Path(argument) for argument in arguments if argument != "--update"]
    commands = {
        "settings-schema": lambda: chart_made.settings_schema(*paths, update),
        "readme": lambda: chart_made.readme(*paths, update),
        "settings": lambda: lay_out(*paths),
        "json": lambda: print(json.dumps(documents(*paths))),
        "restricted": lambda: restricted(*paths),
        "whole": lambda: whole(*paths),
        "common": lambda: common(paths[0], *words),
        "expect": lambda: expect(paths[0], *words),
        "topology": lambda: topology(*paths),
        "rules": lambda: print(yaml.safe_dump(rules(*paths), sort_keys=False)),
        "plain-rules": lambda: plain_rules(*paths, update),
        "kustomize": lambda: chart_made.kustomize(documents(paths[0]), paths[1]),
    }
    commands[command]()


def documents(manifests):
    return [document for document in yaml.safe_load_all(manifests.read_text()) if document]


def only(manifests, *kinds):
    return [document for document in documents(manifests) if document["kind"] in kinds]


DUMMIES = {
    "amqp-url": "amqps://user:password@broker.example.com/kyc",
    "api-key": "key",
    "api-secret": "secret",
    "api-token": "token",
    "ledger-url": "rediss://user:password@redis.example.com:6379/0",
    "log-hash-key": "0123456789abcdef0123456789abcdef",
    "aws-credentials": "[default]\naws_access_key_id = a\naws_secret_access_key = b\n",
}


def lay_out(manifests, directory):
    """The settings with the pod's paths under `directory`, and a dummy for every secret that the pod mounts there."""
    workload = only(manifests, "Deployment", "StatefulSet")[0]
    text = next(c["data"]["antispoofd.toml"] for c in only(manifests, "ConfigMap") if "antispoofd.toml" in c["data"])
    pod = workload["spec"]["template"]["spec"]
    projected = {}
    for volume in pod["volumes"]:
        items = [item for source in volume.get("projected", {}).get("sources", []) for item in next(iter(source.values()))["items"]]
        projected[volume["name"]] = [item["path"] for item in items]
    for mount in pod["containers"][0]["volumeMounts"]:
        target = directory / mount["mountPath"].lstrip("/")
        if mount.get("subPath"):
            continue
        target.mkdir(parents=True, exist_ok=True)
        for name in projected.get(mount["name"], []):
            secret(target / name, DUMMIES.get(name))
    for name in re.findall(r'_file = "([^"]+)"', text):
        path = directory / name.lstrip("/")
        # What somebody else mounts: its name tells which it is.
        if path.name != "ca.crt" and not path.exists():
            if not path.parent.is_dir():
                raise SystemExit(f"chart: the settings name {name}, which no volume of the pod has")
            secret(path, DUMMIES.get(path.name, DUMMIES.get(f"api-{path.name}")))
    text = re.sub(r'((?:_file|path) = ")/', rf"\g<1>{directory}/", text)
    (directory / "antispoofd.toml").write_text(text)


def secret(path, text):
    if text is None and path.name != "ca.crt":
        raise SystemExit(f"chart: no dummy for the secret {path.name}")
    if text is not None:
        path.write_text(text)
        path.chmod(0o640)


VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def restricted(manifests):
    faults = []
    pods = 0
    for document in documents(manifests):
        name = f"{document['kind']} {document['metadata']['name']}"
        if document["kind"] == "Secret":
            faults.append(f"{name}: the chart makes no Secret, because its values are kept in the release")
        if document["kind"] in ("Deployment", "StatefulSet"):
            pods += 1
            faults += [f"{name}: {fault}" for fault in pod_faults(document["spec"]["template"]["spec"])]
        if document["kind"] == "Pod":
            faults += [f"{name}: {fault}" for fault in pod_faults(document["spec"])]
    if pods != 1:
        faults.append(f"{pods} workloads")
    if faults:
        raise SystemExit("\n".join(f"chart: {fault}" for fault in faults))


def pod_faults(pod):
    context = pod.get("securityContext", {})
    wanted = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    yield from (f"securityContext.{key} is {context.get(key)}" for key, value in wanted.items() if context.get(key) != value)
    if pod.get("automountServiceAccountToken") is not False:
        yield "a token of the service account is mounted"
    yield from (f"has {key}" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key))
    for volume in pod.get("volumes", []):
        yield from (f"volume {volume['name']} is a {kind}" for kind in set(volume) - {"name"} - VOLUMES)
    for container in pod.get("initContainers", []) + pod["containers"]:
        context = container.get("securityContext", {})
        wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        yield from (f"container {container['name']}: {key} is {context.get(key)}" for key, value in wanted.items() if context.get(key) != value)


def whole(manifests):
    faults = []
    for document in documents(manifests):
        faults += [f"{document['kind']} {document['metadata']['name']}: {path} is empty" for path in empty(document)]
    settings = next(c["data"]["antispoofd.toml"] for c in only(manifests, "ConfigMap") if "antispoofd.toml" in c["data"])
    for workload in only(manifests, "Deployment", "StatefulSet"):
        name, pod = workload["metadata"]["name"], workload["spec"]["template"]
        grace = f"{pod['spec']['terminationGracePeriodSeconds']}s"
        if tomllib.loads(settings).get("worker", {}).get("termination_grace") != grace:
            faults.append(f"{name}: worker.termination_grace is not the pod's {grace}")
        budgets = [b for b in only(manifests, "PodDisruptionBudget") if b["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()]
        if workload["spec"].get("replicas", 2) > 1 and len(budgets) != 1:
            faults.append(f"{name}: {len(budgets)} disruption budgets")
    if faults:
        raise SystemExit("\n".join(f"chart: {fault}" for fault in faults))


def empty(node, path=""):
    if node is None:
        yield path
    if isinstance(node, dict):
        for key, child in node.items():
            yield from empty(child, f"{path}.{key}".lstrip("."))
    if isinstance(node, list):
        for index, child in enumerate(node):
            yield from empty(child, f"{path}[{index}]")


def common(manifests, key, value):
    for document in documents(manifests):
        meta, inner = document["metadata"], document.get("spec", {}).get("template", {}).get("metadata")
        labels = [each["labels"].get(key) for each in (meta, inner) if each]
        if set(labels) != {value} or meta.get("annotations", {}).get(key) != value:
            raise SystemExit(f"chart: {document['kind']} {meta['name']} lacks the common label or annotation {key}")


def expect(manifests, kind, path, value):
    """Parts of the path are keys and indices, with \\. for a dot in a key; VALUE is YAML, and null stands for a field that is not there."""
    found = only(manifests, kind)
    if len(found) != 1:
        raise SystemExit(f"chart: {len(found)} objects of the kind {kind}")
    node = found[0]
    for part in re.split(r"(?<!\\)[.]", path):
        part = part.replace("\\.", ".")
        children = dict(enumerate(node)) if isinstance(node, list) else node or {}
        node = children.get(int(part) if isinstance(node, list) else part)
    if node != yaml.safe_load(value):
        raise SystemExit(f"chart: {path} of the {kind} is {json.dumps(node)}")


def topology(manifests, definitions):
    """All that the program declares, and beyond it nothing but queues that take results."""
    theirs = json.loads(definitions.read_text())
    results = next(exchange["name"] for exchange in theirs["exchanges"] if exchange["type"] == "topic")
    wanted = {(source["source"], source["destination"], source["routing_key"]) for source in theirs["bindings"]}
    wanted |= {(exchange["name"], exchange["type"], exchange["durable"], exchange["auto_delete"]) for exchange in theirs["exchanges"]}
    wanted |= {(queue["name"], queue["durable"], queue["auto_delete"], arguments(queue["arguments"])) for queue in theirs["queues"]}
    found, takers = set(), set()
    for document in documents(manifests):
        spec = document["spec"] if document["apiVersion"].startswith("rabbitmq.com/") else {}
        if spec and document["kind"] == "Binding" and spec["source"] == results:
            takers.add(spec["destination"])
        elif spec and document["kind"] == "Binding":
            found.add((spec["source"], spec["destination"], spec["routingKey"]))
        elif spec and document["kind"] == "Exchange":
            found.add((spec["name"], spec["type"], spec["durable"], spec["autoDelete"]))
        elif spec and document["kind"] == "Queue":
            found.add((spec["name"], spec["durable"], spec["autoDelete"], arguments(spec.get("arguments", {}) | {"x-queue-type": spec["type"]})))
    found = {entry for entry in found if entry[0] not in takers}
    if found != wanted:
        raise SystemExit(f"chart: missing {sorted(wanted - found, key=str)}\nchart: too much {sorted(found - wanted, key=str)}")


def arguments(table):
    return tuple(sorted(table.items()))


def rules(manifests):
    return {"groups": [group for rule in only(manifests, "PrometheusRule") for group in rule["spec"]["groups"]]}


PLAIN = """# The alerts of antispoofd for a Prometheus that is not run by an operator in Kubernetes. Made from the chart's templates/prometheusrule.yaml by
# `make chart-update`. Name the scrape job "antispoofd"; queues are those of amqp.prefix = "antispoof" on the vhost "/". What to do: docs/alerts.md.
"""


def plain_rules(manifests, path, update):
    """Without the selectors of a release, which outside of Kubernetes select nothing."""
    made = rules(manifests)
    for group in made["groups"]:
        group["name"] = "antispoofd"
        for rule in group["rules"]:
            rule["expr"] = without_selectors(rule["expr"])
    chart_made.settle(path, PLAIN + yaml.safe_dump(made, sort_keys=False, width=140), update)


def without_selectors(expression):
    selector = r'namespace="[^"]*",pod=~"[^"]*"'
    expression = re.sub(rf"\bup\{{{selector}\}}", 'up{job="antispoofd"}', expression)
    return re.sub(rf"\{{{selector}\}}|,{selector}", "", expression)


main(*sys.argv[1:])
