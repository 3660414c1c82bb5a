// The AsyncAPI document, as the project's own parser reads it: no finding above a hint, and every message with a schema.
import { Parser, fromFile } from "@asyncapi/parser";

const { document, diagnostics } = await fromFile(new Parser(), `${process.argv[2]}/contract/asyncapi.yaml`).parse();
const bad = diagnostics.filter(({ severity }) => severity < 3);
for (const { code, path, message } of bad) console.error(`${code} at ${path.join(".")}: ${message}`);
const messages = document?.messages().all() ?? [];
const bare = messages.filter((message) => !message.hasPayload() && message.id() !== "parkedJob");
for (const message of bare) console.error(`${message.id()} has no payload`);
console.log(`${messages.length} messages, ${document?.operations().all().length} operations`);
process.exit(!document || bad.length || bare.length || !messages.length ? 1 : 0);
