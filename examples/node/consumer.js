// Takes the events of antispoofd: node consumer.js [COUNT], for ever without COUNT.
import { link, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import amqp from "amqplib";

const queue = process.env.RESULTS_QUEUE ?? "kyc.results";
const results = process.env.RESULTS_DIR ?? "results";
const count = Number(process.argv[2] ?? Infinity);

await mkdir(results, { recursive: true });
const connection = await amqp.connect(process.env.AMQP_URL ?? "amqp://guest:guest@127.0.0.1:5672/%2f");
const channel = await connection.createChannel();
await declare();
await channel.prefetch(20);

// One after another: `consume` does not wait for what a handler does.
let last = Promise.resolve();
let taken = 0;
const { promise: done, resolve, reject } = withResolvers();
connection.on("error", reject);
await channel.consume(queue, (message) => {
  // null: the broker has cancelled the consumer, because the queue is gone.
  if (message === null) return reject(new Error(`${queue} is gone`));
  last = last.then(() => (taken < count ? take(message) : undefined)).catch(reject);
});
try {
  await done;
  // The channel first: a connection that is closed at once can leave the last ack behind.
  await channel.close();
} finally {
  await connection.close().catch(() => {});
}

async function take(message) {
  const event = read(message.content);
  if (event) {
    await handle(event);
    // Only now: if this process dies before, the event is delivered again.
    channel.ack(message);
  } else {
    // It will not become an event: to the queue beside, for somebody to look at.
    channel.reject(message, false);
  }
  taken += 1;
  if (taken === count) resolve();
}

function read(content) {
  try {
    const event = JSON.parse(content);
    return event?.id && event.type && event.data ? event : undefined;
  } catch {
    return undefined;
  }
}

// A queue of your own, bound to verdicts and failures. What cannot be read goes to a queue beside it.
async function declare() {
  const quorum = { "x-queue-type": "quorum" };
  await channel.assertQueue(`${queue}.unread`, { durable: true, arguments: quorum });
  await channel.assertQueue(queue, {
    durable: true,
    arguments: {
      ...quorum,
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": `${queue}.unread`,
      "x-dead-letter-strategy": "at-least-once",
      "x-overflow": "reject-publish",
    },
  });
  for (const key of ["verdict.*", "failure.*"]) await channel.bindQueue(queue, "antispoof.results", key);
}

// An event may come more than once, always under the same id. So what it does is done once for each id: here a file that bears it, in a database a row with the
// id as its key, written in one transaction with the effect.
async function handle(event) {
  const first = await store(event);
  const again = first ? "" : " (again)";
  const { job_id: job, outcome, failure } = event.data;
  switch (event.type) {
    case "antispoofd.verdict.v1":
      console.log(`${job} ${outcome}${again}`);
      break;
    case "antispoofd.failure.v1":
      console.log(`${job} ${failure.code}${again}`);
      if (first) console.error(advice(failure));
      break;
    default:
      // Of a later version; what you do not know is not for you.
      console.log(`${event.id} ${event.type}${again}`);
  }
}

// A failure is not a spoof. Whose fault it was is in its class, what to do about it in its code.
function advice(failure) {
  if (failure.class === "permanent" && ["fetch", "inspect", "call"].includes(failure.stage)) return `ask for another picture: ${failure.message}`;
  return `for those who run antispoofd; the job is in antispoof.parked and can be replayed: ${failure.message}`;
}

// Whether it was not there yet. Whole or not at all: a link to a finished file is made, which fails where the name is taken.
async function store(event) {
  const name = String(event.id).replaceAll("/", "_");
  const draft = join(results, `.${name}.${process.pid}`);
  await writeFile(draft, JSON.stringify(event));
  try {
    await link(draft, join(results, `${name}.json`));
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(draft);
  }
}

// Promise.withResolvers, which Node 20 does not have.
function withResolvers() {
  const all = {};
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }));
  return all;
}
