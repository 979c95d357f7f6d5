/**
 * The yardstick: fetches 2,000 messages, inserts them with one statement, publishes each with an acknowledgement, acknowledges them;
 * one step after the other, and checks nothing.
 */
import { randomUUID } from "node:crypto";
import { acceptedSubject, connectBus } from "@millrace/bus";
import { connectDatabase } from "@millrace/db";
import { silentLogger } from "@millrace/runtime";
import { AckPolicy } from "@nats-io/jetstream";

const BATCH = 2_000;
/** The broker remembers ids of an earlier run. */
const run = randomUUID();

const { NATS_URL: url = "", NATS_USER: user, NATS_PASSWORD: password, DATABASE_URL: databaseUrl = "" } = process.env;
await using bus = await connectBus({ url, user, password }, "bare-loop", silentLogger);
await using database = await connectDatabase({ url: databaseUrl, schema: "public" }, silentLogger);
await database.query({
  text: "CREATE TABLE bare_log (stream_sequence bigint PRIMARY KEY, subject text NOT NULL, data bytea NOT NULL)",
});
await bus.manager.consumers.add("EVENTS", {
  durable_name: "bare-loop",
  ack_policy: AckPolicy.Explicit,
  max_ack_pending: 2 * BATCH,
});
const consumer = await bus.jetstream.consumers.get("EVENTS", "bare-loop");
for (;;) {
  const batch = [];
  for await (const message of await consumer.fetch({ max_messages: BATCH, expires: 1_000 })) batch.push(message);
  if (batch.length === 0) continue;
  await database.query({
    text: `
      INSERT INTO bare_log (stream_sequence, subject, data)
      SELECT e.sequence, e.subject, substring($3::bytea FROM e.position FOR e.length)
      FROM unnest($1::bigint[], $2::text[], $4::int[], $5::int[]) AS e (sequence, subject, position, length)`,
    values: [
      batch.map(({ seq }) => seq),
      batch.map(({ subject }) => subject),
      Buffer.concat(batch.map(({ data }) => data)),
      positions(batch.map(({ data }) => data.length)),
      batch.map(({ data }) => data.length),
    ],
  });
  await Promise.all(
    batch.map(({ data, seq }) =>
      bus.publishBytes(acceptedSubject("bare", "event", 0), Buffer.from(data), { id: `${run}-${seq}` }),
    ),
  );
  for (const message of batch) message.ack();
}

/** Where each of the pieces begins in all of them, from 1. */
function positions(lengths: readonly number[]): number[] {
  let next = 1;
  return lengths.map((length) => {
    const position = next;
    next += length;
    return position;
  });
}
