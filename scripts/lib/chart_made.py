"""What in deploy/ is made from other files. Part of chart.py."""

import json
import re

import yaml

# The templates reckon with durations, so the chart takes of the program's forms ("1 minute", "1.5h") only this one.
DURATION = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$"}
DURATIONS = {"type": "array", "items": DURATION}
OF_THE_CHART = {"retry.delays": DURATIONS}
PROGRAMS_DURATION = r"^\s*[0-9][0-9.]*\s*[A-Za-z].*$"
KEPT = {"type", "enum", "minimum", "maximum", "pattern", "items", "properties", "patternProperties", "additionalProperties", "required"}
DROPPED = {"$schema", "$comment", "title", "description", "default", "writeOnly"}


# The keys that hold secrets stay in: templates/_problems.tpl refuses them, and says why, which a schema cannot.
def settings_schema(program_schema, schema_path, update):
    schema = json.loads(schema_path.read_text())
    settings = json.loads(program_schema.read_text())
    schema["properties"]["config"] = form(settings)
    if DURATION not in schema["properties"]["config"]["properties"]["api"]["properties"].values():
        raise SystemExit(f"chart: {program_schema} has another pattern for durations than the chart knows")
    settle(schema_path, json.dumps(schema, indent=2) + "\n", update)
    settle(schema_path.with_name("durations.json"), json.dumps(limits(settings), indent=2) + "\n", update)


def limits(settings):
    """What a schema cannot say of text, for templates/_problems.tpl: each duration's least and most, which the program's schema has as a comment."""
    keys = {f"{section}.{key}": node for section, block in settings["properties"].items() for key, node in block["properties"].items()}
    return {key: node["$comment"].split(" to ") for key, node in keys.items() if node.get("pattern") == PROGRAMS_DURATION}


def form(node, key=""):
    """Of a schema by the program what Helm's validators, which know draft-07, make use of."""
    if unknown := set(node) - KEPT - DROPPED:
        raise SystemExit(f"chart: {key} has {sorted(unknown)} in its schema, which the chart does not know")
    if key in OF_THE_CHART:
        return OF_THE_CHART[key]
    if node.get("pattern") == PROGRAMS_DURATION:
        return DURATION
    made = {name: value for name, value in node.items() if name in KEPT}
    for name in ("properties", "patternProperties"):
        if name in made:
            made[name] = {inner: form(value, f"{key}.{inner}".lstrip(".")) for inner, value in made[name].items()}
    if "items" in made:
        made["items"] = form(made["items"], f"{key}[]")
    return made


BEGIN, END = "<!-- values: made by `make chart-update` -->", "<!-- values: end -->"


def readme(values_path, readme_path, update):
    rows = ["| value | default | |", "|---|---|---|"]
    rows += [f"| `{path}` | `{default}` | {text} |" for path, default, text in documented(values_path.read_text())]
    text = readme_path.read_text()
    start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
    settle(readme_path, text[:start] + "\n" + "\n".join(rows) + "\n" + text[end:], update)


def documented(text):
    """Each value with its path, default and the `# --` comment above it; of blocks those that have a comment, too, which then is for all in them."""
    values = yaml.safe_load(text)
    path, told, comment = [], [], None
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = stripped[5:]
        elif stripped.startswith("#"):
            comment = comment and f"{comment} {stripped[1:].strip()}"
        elif match := re.match(r"( *)([\w.]+):(.*)", line):
            depth = len(match[1]) // 2
            path, told = path[:depth] + [match[2]], told[:depth] + [bool(comment)]
            block = not match[3].strip()
            if not block and not any(told):
                raise SystemExit(f"chart: {'.'.join(path)} in values.yaml has no comment")
            if comment or not block:
                yield ".".join(path), "…" if block else shown(values, path), (comment or "").replace("|", "\\|")
            comment = None
        else:
            comment = None


def shown(values, path):
    for part in path:
        values = values[part]
    return json.dumps(values)


def kustomize(documents, directory):
    """The chart's objects without what only Helm needs; the settings as a file, so that a change of them is a rollout."""
    resources = []
    for document in documents:
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


def settle(path, text, update):
    if path.exists() and path.read_text() == text:
        return
    if update:
        path.write_text(text)
        return
    raise SystemExit(f"chart: {path} is out of date; run `make chart-update`")
