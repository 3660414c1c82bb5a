// What the toolchains are asked: the examples of contract/, and the cases of tests/it/contract/cases.json.
import { readFileSync, readdirSync } from "node:fs";

export const kinds = ["job", "job-event", "notification", "verdict", "failure"];
const named = { "event.job.json": "job-event" };

export const read = (path) => JSON.parse(readFileSync(path, "utf8"));
export const schema = (root, kind) => read(`${root}/contract/${kind}.schema.json`);

// [{ kind, name, valid, instance }]
export function questions(root) {
  const examples = readdirSync(`${root}/contract/examples`).map((name) => ({
    kind: named[name] ?? name.split(".")[0],
    name,
    valid: true,
    instance: read(`${root}/contract/examples/${name}`),
  }));
  const cases = read(`${root}/tests/it/contract/cases.json`).map((entry, index) => ({
    kind: entry.schema,
    name: `case ${index}`,
    valid: entry.valid,
    instance: "example" in entry ? changed(read(`${root}/contract/examples/${entry.example}`), entry.at, entry.to) : entry.instance,
  }));
  return [...examples, ...cases];
}

function changed(event, at, to) {
  const path = at.slice(1).split("/");
  const last = path.pop();
  path.reduce((node, part) => node[part], event)[last] = to;
  return event;
}
