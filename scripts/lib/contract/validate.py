"""jsonschema for draft 2020-12, with formats: the examples and the cases. validate.py ROOT"""

import json
import pathlib
import sys

from jsonschema import Draft202012Validator

KINDS = ("job", "job-event", "notification", "verdict", "failure")


def main(root):
    validators = {}
    for kind in KINDS:
        schema = read(root / f"contract/{kind}.schema.json")
        Draft202012Validator.check_schema(schema)
        validators[kind] = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    asked = list(questions(root))
    wrong = [(kind, name) for kind, name, valid, instance in asked if validators[kind].is_valid(instance) != valid]
    for kind, name in wrong:
        print(f"{kind}, {name}: not as expected", file=sys.stderr)
    print(f"{len(asked)} instances")
    sys.exit(bool(wrong))


def questions(root):
    for path in sorted((root / "contract/examples").iterdir()):
        yield "job-event" if path.name == "event.job.json" else path.name.split(".")[0], path.name, True, read(path)
    for index, case in enumerate(read(root / "tests/it/contract/cases.json")):
        instance = case.get("instance")
        if "example" in case:
            instance = read(root / "contract/examples" / case["example"])
            *path, last = case["at"][1:].split("/")
            node = instance
            for part in path:
                node = node[int(part) if isinstance(node, list) else part]
            node[last] = case["to"]
        yield case["schema"], f"case {index}", case["valid"], instance


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
