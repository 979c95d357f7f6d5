import type { Database } from "@millrace/db";
import type { PoolClient } from "pg";
import type { AppRows, LogHead, OutboxBatch } from "./batch.ts";

/** A message that became no event of the log. */
export interface NotAccepted {
  readonly streamSequence: number;
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
 * Stores an app's events; those that the log has already are left out. All events travel as one binary parameter that the
 * server cuts up, which costs a third of an array of bytea.
 *
 * @returns the log sequences that are new, or undefined when all are
 */
export async function insertEvents(client: PoolClient, rows: AppRows): Promise<Set<number> | undefined> {
  const typeNames = [...new Set(rows.types)];
  const result = await client.query<{ stored: number; sequences: string[] | null }>({
    name: "insert_events",
    text: `
      WITH stored AS (
        INSERT INTO event_log (app, id, occurred_at, known_at, log_sequence, stream_sequence, type, accepted)
        SELECT $1, e.id, to_timestamp(e.occurred_at), to_timestamp(e.known_at / 1000.0), e.log_sequence, e.stream_sequence,
          ($2::text[])[e.type], substring($3::bytea FROM e.position FOR e.length)
        FROM unnest($4::text[], $5::float8[], $6::float8[], $7::bigint[], $8::bigint[], $9::int[], $10::int[], $11::int[])
          AS e (id, occurred_at, known_at, log_sequence, stream_sequence, type, position, length)
        ON CONFLICT DO NOTHING
        RETURNING log_sequence
      )
      SELECT count(*)::int AS stored, CASE WHEN count(*) < $12::int THEN array_agg(log_sequence) END AS sequences FROM stored`,
    values: [
      rows.app,
      typeNames,
      rows.bytes,
      textArray(rows.ids),
      numberArray(rows.occurredAtSeconds),
      numberArray(rows.knownAtMs),
      numberArray(rows.logSequences),
      numberArray(rows.streamSequences),
      numberArray(rows.types.map((type) => typeNames.indexOf(type) + 1)),
      numberArray(rows.offsets.map((offset) => offset + 1)),
      numberArray(rows.lengths),
      rows.ids.length,
    ],
  });
  const row = result.rows[0];
  return row?.stored === rows.ids.length ? undefined : new Set((row?.sequences ?? []).map(Number));
}

/** The stream sequence under which each event is stored: of the message that was first with it. */
export async function findStored(
  client: PoolClient,
  app: string,
  events: readonly { id: string; occurredAtSeconds: number }[],
): Promise<(number | undefined)[]> {
  const { rows } = await client.query<{ place: string; stream_sequence: string }>({
    name: "find_stored",
    text: `
      SELECT e.place, log.stream_sequence
      FROM unnest($2::text[], $3::float8[]) WITH ORDINALITY AS e (id, occurred_at, place)
      JOIN event_log AS log ON log.app = $1 AND log.id = e.id AND log.occurred_at = to_timestamp(e.occurred_at)`,
    values: [app, textArray(events.map(({ id }) => id)), numberArray(events.map((event) => event.occurredAtSeconds))],
  });
  const found = new Map(rows.map(({ place, stream_sequence }) => [Number(place), Number(stream_sequence)]));
  return events.map((_, index) => found.get(index + 1));
}

/** What a batch changes besides the log itself. */
export interface BatchAccount {
  readonly logSequence: number;
  readonly clocks: readonly { readonly app: string; readonly knownAtMs: number }[];
  readonly outbox: readonly OutboxBatch[];
  readonly notAccepted: readonly NotAccepted[];
}

/** Moves the head and the clocks, fills the outbox, counts. */
export async function writeAccount(client: PoolClient, account: BatchAccount): Promise<void> {
  const { clocks, outbox, notAccepted } = account;
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
        INSERT INTO accepted_count AS total (app, type, events)
        SELECT app, type, sum(events) FROM unnest($5::text[], $6::text[], $11::int[]) AS c (app, type, events) GROUP BY app, type
        ON CONFLICT (app, type) DO UPDATE SET events = total.events + excluded.events
      ), refused AS (
        INSERT INTO not_accepted (stream_sequence, app, type, kind, reason)
        SELECT * FROM unnest($12::bigint[], $13::text[], $14::text[], $15::text[], $16::text[])
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
): Promise<{ id: string; accepted: Buffer }[]> {
  return database.query<{ id: string; accepted: Buffer }>({
    name: "read_batch_events",
    text: `
      SELECT id, accepted FROM event_log
      WHERE app = $1 AND type = $2 AND log_sequence BETWEEN $3 AND $4
      ORDER BY log_sequence`,
    values: [app, type, firstSequence, lastSequence],
  });
}

const numberArray = (values: readonly number[]): string => `{${values.join(",")}}`;

/** PostgreSQL's array literal; quotes and backslashes are the only characters that need care between quotes. */
function textArray(values: readonly string[]): string {
  return `{${values.map((value) => `"${/["\\]/.test(value) ? value.replace(/["\\]/g, "\\$&") : value}"`).join(",")}}`;
}
