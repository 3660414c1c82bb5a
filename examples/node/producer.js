// Publishes jobs to antispoofd: node producer.js ID KEY [ID KEY …]
import { once } from "node:events";
import amqp from "amqplib";

const connection = await amqp.connect(process.env.AMQP_URL ?? "amqp://guest:guest@127.0.0.1:5672/%2f");
const channel = await connection.createConfirmChannel();

// A mandatory message that no queue takes comes back, before its confirm.
const returned = new Set();
channel.on("return", (message) => returned.add(message.properties.messageId));

try {
  const words = process.argv.slice(2);
  const jobs = [];
  while (words.length) jobs.push(words.splice(0, 2));
  for (const [id, key] of jobs) {
    await publish({ id, key });
    console.log(`published ${id}`);
  }
} finally {
  await connection.close();
}

// Resolves when the broker has the job on its disks, and rejects when it has not. To publish it again then is safe: the same id and image are one job.
async function publish(job) {
  const options = { mandatory: true, persistent: true, contentType: "application/json", messageId: job.id, correlationId: job.id };
  let writable;
  const confirmed = new Promise((resolve, reject) => {
    writable = channel.publish("antispoof.jobs", "antispoof.jobs", Buffer.from(JSON.stringify(job)), options, (error) => (error ? reject(error) : resolve()));
  });
  if (!writable) await Promise.race([once(channel, "drain"), confirmed]);
  await confirmed;
  if (returned.delete(job.id)) throw new Error(`no queue takes the job ${job.id}: is the topology declared?`);
}
