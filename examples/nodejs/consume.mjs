// Reads events through a durable consumer and validates them:
//
//	node consume.mjs DURABLE [HOW-MANY-FINAL]
//
// An operator must create the consumer first (docs/events.md). Every event must be a CloudEvent 1.0
// by the SDK's rules, and match our JSON Schema. Invalid events are reported and skipped.
import { readFile } from "node:fs/promises";
import { CloudEvent } from "cloudevents";
import Ajv from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { client } from "./client.mjs";

const [durable, wanted = "0"] = process.argv.slice(2);
if (!durable) {
  console.error("usage: node consume.mjs DURABLE [HOW-MANY-FINAL]");
  process.exit(2);
}
const ajv = new Ajv({ strict: true, strictRequired: true, allErrors: true });
addFormats(ajv);
const schema = new URL("../../results/schema/event.v1.json", import.meta.url);
const valid = ajv.compile(JSON.parse(await readFile(schema, "utf8")));

// understand returns a valid event, or throws an error with the reason.
function understand(message) {
  if (message.headers?.get("Content-Type") !== "application/cloudevents+json") throw new Error("not a structured CloudEvent");
  const body = message.json();
  const event = new CloudEvent(body, true); // strict: it validates
  if (!valid(body)) throw new Error(ajv.errorsText(valid.errors));
  return event;
}

const { nc, js } = await client();
const stream = "BACKBURN_RESULTS";
const consumer = await js.consumers.get(stream, durable);
const seen = new Set(); // a real consumer stores them durably
let final = 0, refused = 0;
const messages = await consumer.consume({ max_messages: 100 });
for await (const m of messages) {
  try {
    const e = understand(m);
    const identity = e.source + " " + e.id; // two sources may use the same job ID
    if (!seen.has(identity)) {
      seen.add(identity);
      console.log(JSON.stringify({ id: e.id, type: e.type, job: e.data.job_id, verdict: e.data.verdict, reason: e.data.error?.reason }));
      if (e.type === "backburn.verdict.v1" || e.type === "backburn.failed.v1") final++;
    }
  } catch (err) {
    refused++;
    console.error(`event ${m.seq} on ${m.subject}: ${err.message}`);
  }
  m.ack();
  if (Number(wanted) > 0 && final >= Number(wanted)) break;
}
await nc.drain();
process.exitCode = refused > 0 ? 3 : 0;
