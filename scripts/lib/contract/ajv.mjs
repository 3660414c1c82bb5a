// ajv in strict mode, for draft 2020-12.
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { kinds, questions, schema } from "./cases.mjs";

const root = process.argv[2];
const ajv = addFormats(new Ajv({ strict: true, allErrors: true }));
const validators = Object.fromEntries(kinds.map((kind) => [kind, ajv.compile(schema(root, kind))]));
let wrong = 0;
const asked = questions(root);
for (const { kind, name, valid, instance } of asked) {
  const validate = validators[kind];
  if (validate(instance) !== valid) {
    wrong += 1;
    console.error(`${kind}, ${name}: ${valid ? JSON.stringify(validate.errors) : `taken: ${JSON.stringify(instance)}`}`);
  }
}
console.log(`${asked.length} instances`);
process.exit(wrong ? 1 : 0);
