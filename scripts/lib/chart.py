"""What scripts/chart does with YAML, TOML and JSON. Run by it, in an environment that has PyYAML.

chart.py settings-schema DEFAULT_TOML VALUES_SCHEMA [--update]   the block `config` of the schema follows from the settings
chart.py readme VALUES_YAML README [--update]                    the README's table follows from the values
chart.py settings MANIFESTS DIRECTORY                            antispoofd.toml and dummy secrets, laid out as in the pod
chart.py json MANIFESTS                                          the documents as one JSON list
chart.py restricted MANIFESTS                                    the restricted pod security standard, and no Secret
chart.py topology MANIFESTS DEFINITIONS                          RabbitMQ's resources, against what the program would declare
chart.py rules MANIFESTS                                         the groups of the PrometheusRule, as promtool reads them
chart.py kustomize MANIFESTS DIRECTORY                           a kustomize base
"""

import json
import pathlib
import re
import sys
import tomllib

import yaml

DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}
SIZE = {"type": ["string", "integer"]}
SIZES = {"s3.max_object_bytes"}
NUMBERS = {"api.rate_limit", "api.review_below"}


def main(command, *arguments):
    update = "--update" in arguments
    paths = [pathlib.Path(argument) for argument in arguments if argument != "--update"]
    commands = {
        "settings-schema": lambda: settings_schema(*paths, update),
        "readme": lambda: readme(*paths, update),
        "settings": lambda: lay_out(*paths),
        "json": lambda: print(json.dumps(documents(*paths))),
        "restricted": lambda: restricted(*paths),
        "topology": lambda: topology(*paths),
        "rules": lambda: print(yaml.safe_dump(rules(*paths), sort_keys=False)),
        "kustomize": lambda: kustomize(*paths),
    }
    commands[command]()


# The keys that hold secrets stay in: templates/_problems.tpl refuses them, and says why, which a schema cannot.
def settings_schema(default_toml, schema_path, update):
    settings = tomllib.loads(default_toml.read_text())
    sections = {name: section_schema(name, keys) for name, keys in settings.items()}
    schema = json.loads(schema_path.read_text())
    schema["properties"]["config"] = closed(sections)
    settle(schema_path, json.dumps(schema, indent=2) + "\n", update)


def section_schema(section, keys):
    return closed({key: value_schema(f"{section}.{key}", value) for key, value in keys.items()})


def value_schema(key, value):
    if key in SIZES:
        return SIZE
    if key in NUMBERS:
        return {"type": "number", "minimum": 0}
    if isinstance(value, dict):
        return {"type": "object", "propertyNames": {"pattern": "^[2-5][0-9][0-9]$"}, "additionalProperties": {"type": "string"}}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0}
    if isinstance(value, list):
        return {"type": "array", "items": {"type": "string"}}
    if isinstance(value, str) and re.fullmatch(r"([0-9]+(ms|s|m|h|d))+", value):
        return DURATION
    if isinstance(value, str):
        return {"type": "string"}
    raise SystemExit(f"chart: {key} in default.toml has a kind of value that the chart does not know")


def closed(properties):
    return {"type": "object", "additionalProperties": False, "properties": properties}


BEGIN, END = "<!-- values: made by `make chart-update` -->", "<!-- values: end -->"


def readme(values_path, readme_path, update):
    rows = ["| value | default | |", "|---|---|---|"]
    rows += [f"| `{path}` | `{default}` | {text} |" for path, default, text in documented(values_path.read_text())]
    text = readme_path.read_text()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    settle(readme_path, text[:start] + "\n" + "\n".join(rows) + "\n" + text[end:], update)


def documented(text):
    """Each value with a `# --` comment above it, with its path and default."""
    values = yaml.safe_load(text)
    path, comment = [], None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = stripped[5:]
        elif stripped.startswith("#"):
            comment = comment and f"{comment} {stripped[1:].strip()}"
        elif match := re.match(r"( *)([\w.]+):", line):
            depth = len(match[1]) // 2
            path = path[:depth] + [match[2]]
            if comment:
                default = values
                for part in path:
                    default = default[part]
                shown = json.dumps(default) if not isinstance(default, dict) or len(json.dumps(default)) < 60 else "{…}"
                yield ".".join(path), shown, comment.replace("|", "\\|")
            comment = None
        else:
            comment = None


def settle(path, text, update):
    if path.read_text() == text:
        return
    if update:
        path.write_text(text)
        return
    raise SystemExit(f"chart: {path} is out of date; run `make chart-update`")


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
    text = next(c["data"]["antispoofd.toml"] for c in only(manifests, "ConfigMap"))
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


def kustomize(manifests, directory):
    """The chart's objects without what only Helm needs; the settings as a file, so that a change of them is a rollout."""
    resources = []
    for document in documents(manifests):
        if document["metadata"].get("annotations", {}).get("helm.sh/hook"):
            continue
        strip(document)
        if document["kind"] == "ConfigMap":
            (directory / "antispoofd.toml").write_text(document["data"]["antispoofd.toml"])
            continue
        name = f"{document['kind'].lower()}.yaml"
        resources.append(name)
        (directory / name).write_text(HEAD + yaml.safe_dump(document, sort_keys=False, width=160))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": sorted(resources),
        "configMapGenerator": [{"name": "antispoofd", "files": ["antispoofd.toml"]}],
    }
    (directory / "kustomization.yaml").write_text(HEAD + yaml.safe_dump(kustomization, sort_keys=False))


HEAD = "# Made from the chart by `make chart-update`; see ../README.md.\n"
HELM_LABELS = ("helm.sh/chart", "app.kubernetes.io/managed-by")


def strip(node):
    if isinstance(node, dict):
        node.pop("checksum/settings", None)
        for label in HELM_LABELS:
            node.pop(label, None)
        if node.get("annotations") == {}:
            node.pop("annotations")
        for child in node.values():
            strip(child)
    if isinstance(node, list):
        for child in node:
            strip(child)


main(*sys.argv[1:])
