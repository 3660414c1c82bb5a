// Types that quicktype made for JavaScript, with its checks at run time: every example is taken and comes out as it went in.
import { createRequire } from "node:module";
import { isDeepStrictEqual } from "node:util";
import { questions } from "./cases.mjs";

const [root, made] = process.argv.slice(2);
const require = createRequire(import.meta.url);
// Of these the schemas name what is read, and senders write more.
const narrow = new Set(["job-event", "notification"]);
let wrong = 0;
const examples = questions(root).filter(({ name }) => name.endsWith(".json"));
for (const { kind, name, instance } of examples) {
  try {
    const types = require(`${made}/${kind}.js`);
    const back = JSON.parse(types.eventToJson(types.toEvent(JSON.stringify(instance))));
    // Times come back as JavaScript writes them, others of the same moment.
    const [expected, got] = [instance, back].map(withMoments);
    if (!isDeepStrictEqual(got, narrow.has(kind) ? narrowed(expected, got) : expected)) throw new Error(`came out as ${JSON.stringify(back)}`);
  } catch (error) {
    wrong += 1;
    console.error(`${name}: ${error.message}`);
  }
}
console.log(`${examples.length} examples`);
process.exit(wrong ? 1 : 0);

function withMoments(value) {
  return JSON.parse(JSON.stringify(value), (key, inner) => (["time", "expires_at"].includes(key) ? Date.parse(inner) : inner));
}

function narrowed(from, like) {
  if (Array.isArray(like)) return like.map((item, index) => narrowed(from[index], item));
  if (like === null || typeof like !== "object") return from;
  return Object.fromEntries(Object.keys(like).map((key) => [key, narrowed(from[key], like[key])]));
}
