"""Pydantic models that datamodel-codegen made: every example is taken, and what it says comes out again. models.py ROOT MODELS"""

import importlib
import json
import pathlib
import sys

import validate

CLASSES = {"job": "Job", "job-event": "JobAsACloudevent", "notification": "BucketNotification", "verdict": "VerdictEvent", "failure": "FailureEvent"}


def main(root, models):
    sys.path.insert(0, models)
    wrong = 0
    examples = [question for question in validate.questions(root) if question[1].endswith(".json")]
    for kind, name, _, instance in examples:
        model = getattr(importlib.import_module(kind.replace("-", "_")), CLASSES[kind])
        back = json.loads(model.model_validate_json(json.dumps(instance)).model_dump_json(by_alias=True, exclude_unset=True))
        # Of a CloudEvent and a notification, the schemas name what is read.
        if not within(back, instance) or (kind in ("job", "verdict", "failure") and not within(instance, back)):
            wrong += 1
            print(f"{name}: came out as {json.dumps(back)}", file=sys.stderr)
    print(f"{len(examples)} examples")
    sys.exit(bool(wrong))


def within(part, whole):
    if isinstance(part, dict):
        return all(key in whole and within(value, whole[key]) for key, value in part.items())
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(within, part, whole))
    return part == whole


main(pathlib.Path(sys.argv[1]), sys.argv[2])
