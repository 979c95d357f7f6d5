import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Database } from "@millrace/db";
import {
  type DataQuality,
  DataQualityAdditionSchema,
  DataQualitySchema,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import type { PoolClient } from "pg";
import type { BatchQuality } from "./batchQuality.ts";
import { HourQuality } from "./hourQuality.ts";

/** Held while hours are changed, so that replicas take turns. */
const LOCK = 7_201_004;

/** Additions that are added in one transaction. */
const MAX_ADDITIONS = 64;

/**
 * Notes what a batch adds to its hours, in the batch's own transaction and before its rejected events are noted: they count only
 * when they were not noted before.
 *
 * @param isOld whether a valid event, by its place in the batch, was in the log before; undefined when none was
 * @returns what was noted
 */
export async function noteQuality(
  client: PoolClient,
  batch: BatchQuality,
  isOld?: (index: number) => boolean,
): Promise<BatchQuality> {
  const noted = batch.rejected.length === 0 ? undefined : await findNoted(client, batch);
  const added =
    isOld === undefined && (noted === undefined || noted.size === 0)
      ? batch
      : batch.without(isOld ?? (() => false), (index) => noted?.has(index) === true);
  if (added.hours.length === 0) return added;
  const hours = added.encode();
  await client.query({
    name: "note_quality",
    text: "INSERT INTO quality_addition (hours) VALUES ($1)",
    values: [hours],
  });
  return added;
}

/** Which of the batch's rejected events an earlier delivery brought. */
async function findNoted(client: PoolClient, { rejected }: BatchQuality): Promise<Set<number>> {
  const { rows } = await client.query<{ number: string }>({
    name: "find_noted",
    text: `
      SELECT e.number FROM unnest($1::bigint[], $2::int[]) WITH ORDINALITY AS e (stream_sequence, place, number)
      JOIN not_accepted USING (stream_sequence, place)`,
    values: [rejected.map(({ raw }) => raw.streamSequence), rejected.map(({ raw }) => raw.place)],
  });
  return new Set(rows.map(({ number }) => Number(number) - 1));
}

/** Adds to the hours what batches have noted, until nothing is left. */
export async function addNotedQuality(database: Database): Promise<void> {
  while ((await exclusively(database, addSome)) === MAX_ADDITIONS);
}

function exclusively<Result>(database: Database, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
  return database.transaction(async (client) => {
    await client.query({ name: "lock_quality", text: "SELECT pg_advisory_xact_lock($1)", values: [LOCK] });
    return work(client);
  });
}

async function addSome(client: PoolClient): Promise<number> {
  const { rows } = await client.query<{ id: string; hours: Buffer }>({
    name: "read_quality_additions",
    text: `SELECT id, hours FROM quality_addition ORDER BY id LIMIT ${MAX_ADDITIONS}`,
  });
  if (rows.length === 0) return 0;
  const hours = new Map<string, HourQuality>();
  for (const { hours: bytes } of rows) mergeInto(hours, fromBinary(DataQualityAdditionSchema, bytes).hours);
  const changed = [...hours.values()];
  mergeInto(hours, await readHours(client, changed));
  await writeHours(client, changed);
  await client.query({
    name: "delete_quality_additions",
    text: "DELETE FROM quality_addition WHERE id = ANY($1::bigint[])",
    values: [rows.map(({ id }) => id)],
  });
  return rows.length;
}

function mergeInto(hours: Map<string, HourQuality>, more: readonly DataQuality[]): void {
  for (const quality of more) {
    const { app, type } = quality;
    const hourMs = hourMsOf(quality);
    const key = `${app}/${type}/${hourMs}`;
    let hour = hours.get(key);
    if (hour === undefined) hours.set(key, (hour = new HourQuality(app, type, hourMs)));
    hour.merge(quality);
  }
}

const hourMsOf = ({ hour }: DataQuality): number => (hour === undefined ? 0 : timestampMs(hour));

const keysOf = (hours: readonly { readonly app: string; readonly type: string; readonly hourMs: number }[]) => [
  hours.map(({ app }) => app),
  hours.map(({ type }) => type),
  hours.map(({ hourMs }) => hourMs / 1_000),
];

const HOURS = "unnest($1::text[], $2::text[], $3::float8[])";

async function readHours(client: PoolClient, hours: readonly HourQuality[]): Promise<DataQuality[]> {
  const { rows } = await client.query<{ quality: Buffer }>({
    name: "read_quality_hours",
    text: `
      SELECT quality FROM ${HOURS} AS e (app, type, seconds)
      JOIN quality_hour AS stored ON stored.app = e.app AND stored.type = e.type AND stored.hour = to_timestamp(e.seconds)`,
    values: keysOf(hours),
  });
  return rows.map(({ quality }) => fromBinary(DataQualitySchema, quality));
}

async function writeHours(client: PoolClient, hours: readonly HourQuality[]): Promise<void> {
  await client.query({
    name: "write_quality_hours",
    text: `
      INSERT INTO quality_hour AS stored (app, type, hour, revision, quality)
      SELECT app, type, to_timestamp(seconds), 1, quality
      FROM unnest($1::text[], $2::text[], $3::float8[], $4::bytea[]) AS e (app, type, seconds, quality)
      ON CONFLICT (app, type, hour) DO UPDATE SET revision = stored.revision + 1, quality = excluded.quality`,
    values: [...keysOf(hours), hours.map((hour) => Buffer.from(toBinary(DataQualitySchema, hour.toMessage())))],
  });
}

/** An app's clock, and how long its hours stay open. */
export interface QualityDue {
  readonly app: string;
  /** Hours that end at or before this time are to be published. */
  readonly endMs: number;
}

/** Each app's clock: everything known up to then was noted. */
export async function readClocks(database: Database): Promise<{ app: string; knownAtMs: number }[]> {
  const rows = await database.query<{ app: string; known_at_ms: string }>({
    name: "read_all_clocks",
    text: "SELECT app, (extract(epoch FROM known_at) * 1000)::bigint AS known_at_ms FROM app_clock",
  });
  return rows.map(({ app, known_at_ms }) => ({ app, knownAtMs: Number(known_at_ms) }));
}

/**
 * Hours whose newest revision is to be published, the oldest first.
 *
 * @param againMs an hour that was published is published again after this time, however often it changes
 */
export async function readUnpublished(
  database: Database,
  due: readonly QualityDue[],
  { againMs, limit }: { againMs: number; limit: number },
): Promise<DataQuality[]> {
  const rows = await database.query<{ revision: string; quality: Buffer }>({
    name: "read_unpublished_quality",
    text: `
      SELECT revision, quality FROM unnest($1::text[], $2::float8[]) AS due (app, end_ms)
      JOIN quality_hour AS stored ON stored.app = due.app AND stored.hour <= to_timestamp(end_ms / 1000.0) - interval '1 hour'
      WHERE published_revision < revision
        AND (published_at IS NULL OR published_at < clock_timestamp() - $3 * interval '1 millisecond')
      ORDER BY stored.hour, stored.app, stored.type LIMIT $4`,
    values: [due.map(({ app }) => app), due.map(({ endMs }) => endMs), againMs, limit],
  });
  return rows.map(storedQuality);
}

const storedQuality = ({ revision, quality }: { revision: string; quality: Buffer }): DataQuality => ({
  ...fromBinary(DataQualitySchema, quality),
  revision: BigInt(revision),
});

/** Remembers what the bus has confirmed. */
export async function markPublished(database: Database, published: readonly DataQuality[]): Promise<void> {
  const keys = keysOf(published.map((quality) => ({ ...quality, hourMs: hourMsOf(quality) })));
  await exclusively(database, (client) =>
    client.query({
      name: "mark_quality_published",
      text: `
        UPDATE quality_hour AS stored SET published_revision = greatest(published_revision, e.revision), published_at = clock_timestamp()
        FROM unnest($1::text[], $2::text[], $3::float8[], $4::bigint[]) AS e (app, type, seconds, revision)
        WHERE stored.app = e.app AND stored.type = e.type AND stored.hour = to_timestamp(e.seconds)`,
      values: [...keys, published.map(({ revision }) => revision)],
    }),
  );
}

/** Hours of an app, by type and time. */
export async function readQuality(
  database: Database,
  range: { app: string; types: readonly string[]; fromMs: number; toMs: number },
): Promise<DataQuality[]> {
  const rows = await database.query<{ revision: string; quality: Buffer }>({
    name: "read_quality",
    text: `
      SELECT revision, quality FROM quality_hour
      WHERE app = $1 AND type = ANY($2) AND hour >= to_timestamp($3 / 1000.0) AND hour < to_timestamp($4 / 1000.0)
      ORDER BY type, hour`,
    values: [range.app, range.types, range.fromMs, range.toMs],
  });
  return rows.map(storedQuality);
}

/** When the app's newest hour begins; undefined when there is none. */
export async function newestHour(database: Database, app: string): Promise<number | undefined> {
  const [row] = await database.query<{ hour: Date | null }>({
    name: "newest_quality_hour",
    text: "SELECT max(hour) AS hour FROM quality_hour WHERE app = $1",
    values: [app],
  });
  return row?.hour?.getTime();
}

/** Forgets the hours before a day, as the event log does. Answers how many. */
export async function deleteQualityBefore(database: Database, dayMs: number): Promise<number> {
  const deleted = await exclusively(database, (client) =>
    client.query({
      name: "delete_quality_before",
      text: "DELETE FROM quality_hour WHERE hour < to_timestamp($1 / 1000.0)",
      values: [dayMs],
    }),
  );
  return deleted.rowCount ?? 0;
}
