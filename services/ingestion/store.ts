import type { Database } from "@millrace/db";
import type { PoolClient } from "pg";
import type { AppRows, LogHead, OutboxBatch } from "./batch.ts";
import { numberArray, textArray } from "./sqlArrays.ts";

/** A message that became no event of the log. */
export interface NotAccepted {
  readonly streamSequence: number;
  readonly place: number;
  readonly app: string;
  readonly type: string;
  readonly kind: "rejected" | "duplicate" | "dropped";
  readonly reason: string;
}

/** Locks the log's head, which serialises all writers, and reads it. */
export async function lockHead(client: PoolClient, apps: readonly string[]): Promise<LogHead> {
  const head = await client.query<{ log_sequence: string }>({
    name: "lock_head",
    text: "SELECT log_sequence FROM log_head FOR UPDATE",
  });
  // A statement of its own: it must see what the writer before us committed while we waited for the lock.
  const clocks = await client.query<{ app: string; known_at_ms: string }>({
    name: "read_clocks",
    text: "SELECT app, (extract(epoch FROM known_at) * 1000)::bigint AS known_at_ms FROM app_clock WHERE app = ANY($1)",
    values: [apps],
  });
  return {
    logSequence: Number(head.rows[0]?.log_sequence ?? 0),
    clocks: new Map(clocks.rows.map(({ app, known_at_ms }) => [app, Number(known_at_ms)])),
  };
}

/**
 * Stores an app's events. All travel as one binary parameter that the server cuts up, which costs a third of an array of bytea.
 *
 * @param fresh the log sequences of those to store; undefined: all
 */
export async function insertEvents(client: PoolClient, rows: AppRows, fresh: Set<number> | undefined): Promise<void> {
  const typeNames = [...new Set(rows.types)];
  const chosen = [...rows.ids.keys()].filter((index) => fresh?.has(rows.logSequences[index] as number) ?? true);
  if (chosen.length === 0) return;
  const column = (values: readonly number[]): string => numberArray(chosen.map((index) => values[index] as number));
  await client.query({
    name: "insert_events",
    text: `
      INSERT INTO event_log (app, id, occurred_at, known_at, log_sequence, stream_sequence, place, type, accepted)
      SELECT $1, e.id, to_timestamp(e.occurred_at), to_timestamp(e.known_at / 1000.0), e.log_sequence, e.stream_sequence,
        e.place, ($2::text[])[e.type], substring($3::bytea FROM e.position FOR e.length)
      FROM unnest($4::text[], $5::float8[], $6::float8[], $7::bigint[], $8::bigint[], $9::int[], $10::int[], $11::int[], $12::int[])
        AS e (id, occurred_at, known_at, log_sequence, stream_sequence, type, position, length, place)`,
    values: [
      rows.app,
      typeNames,
      rows.bytes,
      textArray(chosen.map((index) => rows.ids[index] as string)),
      column(rows.occurredAtSeconds),
      column(rows.knownAtMs),
      column(rows.logSequences),
      column(rows.streamSequences),
      column(rows.types.map((type) => typeNames.indexOf(type) + 1)),
      column(rows.offsets.map((offset) => offset + 1)),
      column(rows.lengths),
      column(rows.places),
    ],
  });
}

/** What a batch changes besides the log itself. */
export interface BatchAccount {
  readonly logSequence: number;
  readonly clocks: readonly { readonly app: string; readonly knownAtMs: number }[];
  readonly outbox: readonly OutboxBatch[];
  readonly notAccepted: readonly NotAccepted[];
  /** Of the new events: those that came late, by app and type; those that a noise rule kept, by app and rule. */
  readonly late: readonly EventCount[];
  readonly kept: readonly EventCount[];
}

export interface EventCount {
  readonly app: string;
  /** An event type, or a noise rule. */
  readonly name: string;
  readonly events: number;
}

/** Moves the head and the clocks, fills the outbox, counts. */
export async function writeAccount(client: PoolClient, account: BatchAccount): Promise<void> {
  const { clocks, outbox, notAccepted, late, kept } = account;
  await client.query({
    name: "write_account",
    text: `
      WITH head AS (
        UPDATE log_head SET log_sequence = $1
      ), clocks AS (
        INSERT INTO app_clock (app, known_at)
        SELECT app, to_timestamp(known_at / 1000.0) FROM unnest($2::text[], $3::float8[]) AS c (app, known_at)
        ON CONFLICT (app) DO UPDATE SET known_at = greatest(app_clock.known_at, excluded.known_at)
      ), counts AS (
        INSERT INTO accepted_count AS total (app, type, events, late)
        SELECT app, type, sum(events), sum(late) FROM (
          SELECT app, type, events, 0 FROM unnest($5::text[], $6::text[], $11::int[]) AS c (app, type, events)
          UNION ALL
          SELECT app, type, 0, late FROM unnest($18::text[], $19::text[], $20::int[]) AS c (app, type, late)
        ) AS c (app, type, events, late)
        GROUP BY app, type
        ON CONFLICT (app, type) DO UPDATE SET events = total.events + excluded.events, late = total.late + excluded.late
      ), kept AS (
        INSERT INTO kept_count AS total (app, rule, events)
        SELECT * FROM unnest($21::text[], $22::text[], $23::int[])
        ON CONFLICT (app, rule) DO UPDATE SET events = total.events + excluded.events
      ), refused AS (
        INSERT INTO not_accepted (stream_sequence, place, app, type, kind, reason)
        SELECT * FROM unnest($12::bigint[], $17::int[], $13::text[], $14::text[], $15::text[], $16::text[])
        ON CONFLICT DO NOTHING
      )
      INSERT INTO outbox (batch_id, app, type, partition, partitions, first_sequence, last_sequence, events)
      SELECT * FROM unnest($4::text[], $5::text[], $6::text[], $7::int[], $8::int[], $9::bigint[], $10::bigint[], $11::int[])`,
    values: [
      account.logSequence,
      clocks.map(({ app }) => app),
      clocks.map(({ knownAtMs }) => knownAtMs),
      outbox.map(({ batchId }) => batchId),
      outbox.map(({ app }) => app),
      outbox.map(({ type }) => type),
      outbox.map(({ partition }) => partition),
      outbox.map(({ partitions }) => partitions),
      outbox.map(({ firstSequence }) => firstSequence),
      outbox.map(({ lastSequence }) => lastSequence),
      outbox.map(({ events }) => events),
      notAccepted.map(({ streamSequence }) => streamSequence),
      notAccepted.map(({ app }) => app),
      notAccepted.map(({ type }) => type),
      notAccepted.map(({ kind }) => kind),
      notAccepted.map(({ reason }) => reason),
      notAccepted.map(({ place }) => place),
      late.map(({ app }) => app),
      late.map(({ name }) => name),
      late.map(({ events }) => events),
      kept.map(({ app }) => app),
      kept.map(({ name }) => name),
      kept.map(({ events }) => events),
    ],
  });
}

/** Takes batches out of the outbox that the bus has confirmed. */
export async function deletePublished(database: Database, batchIds: readonly string[]): Promise<void> {
  await database.query({
    name: "delete_published",
    text: "DELETE FROM outbox WHERE batch_id = ANY($1)",
    values: [batchIds],
  });
}

/** A batch as the outbox remembers it. */
export interface UnpublishedBatch {
  readonly batchId: string;
  readonly app: string;
  readonly type: string;
  readonly partition: number;
  readonly partitions: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
}

/** What was stored and perhaps not published, in log order. */
export async function readOutbox(database: Database): Promise<UnpublishedBatch[]> {
  const rows = await database.query<
    Record<"batch_id" | "app" | "type" | "first_sequence" | "last_sequence", string> &
      Record<"partition" | "partitions", number>
  >({
    name: "read_outbox",
    text: "SELECT batch_id, app, type, partition, partitions, first_sequence, last_sequence FROM outbox ORDER BY first_sequence",
  });
  return rows.map((row) => ({
    batchId: row.batch_id,
    app: row.app,
    type: row.type,
    partition: row.partition,
    partitions: row.partitions,
    firstSequence: Number(row.first_sequence),
    lastSequence: Number(row.last_sequence),
  }));
}

/** The events of an outbox batch, of all partitions, in log order. */
export async function readBatchEvents(
  database: Database,
  { app, type, firstSequence, lastSequence }: UnpublishedBatch,
): Promise<{ id: string; accepted: Buffer; knownAtMs: number }[]> {
  return database.query<{ id: string; accepted: Buffer; knownAtMs: number }>({
    name: "read_batch_events",
    text: `
      SELECT id, accepted, (extract(epoch FROM known_at) * 1000)::float8 AS "knownAtMs" FROM event_log
      WHERE app = $1 AND type = $2 AND log_sequence BETWEEN $3 AND $4
      ORDER BY log_sequence`,
    values: [app, type, firstSequence, lastSequence],
  });
}
