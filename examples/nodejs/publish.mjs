// Submits a small file as a raw job, whose body is the file:
//
//	node publish.mjs SOURCE FILE [JOB-ID]
//
// The job is accepted only when JetStream acknowledges it.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { randomUUID } from "node:crypto";
import { headers } from "@nats-io/transport-node";
import { client } from "./client.mjs";

const [source, file, id = randomUUID()] = process.argv.slice(2);
if (!file) {
  console.error("usage: node publish.mjs SOURCE FILE [JOB-ID]");
  process.exit(2);
}
const { nc, js } = await client();
const h = headers();
h.set("Content-Type", "application/octet-stream");
h.set("Backburn-Filename", basename(file));
h.set("Backburn-Meta-client", "nodejs");
await js.publish(`backburn.jobs.normal.${source}`, await readFile(file), { msgID: id, headers: h });
console.log(JSON.stringify({ job_id: id }));
await nc.drain();
