// Connects both examples to the server: NATS_URL, and NATS_TOKEN for the embedded server. With the
// permissions of `backburn acl`, use NATS_USER, NATS_PASSWORD, NATS_INBOX_PREFIX and
// NATS_API_PREFIX instead.
import { connect } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";

const env = process.env;

export async function client() {
  const nc = await connect({
    servers: env.NATS_URL ?? "nats://127.0.0.1:4222",
    user: env.NATS_USER,
    pass: env.NATS_PASSWORD,
    token: env.NATS_TOKEN,
    inboxPrefix: env.NATS_INBOX_PREFIX ?? "_INBOX",
  });
  return { nc, js: jetstream(nc, env.NATS_API_PREFIX ? { apiPrefix: env.NATS_API_PREFIX } : {}) };
}
