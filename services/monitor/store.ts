import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Database } from "@millrace/db";
import { addToOutbox, type OutboxEntry } from "@millrace/outbox";
import { type Alert, AlertSchema } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { type ModelVersion, ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { PoolClient } from "pg";
import type { AppMemory } from "./appWatch.ts";
import { SequenceSet } from "./sequenceSet.ts";
import { versionOf } from "./watchedModel.ts";
import type { Window, WindowKey } from "./window.ts";

/** So many batches are remembered, by which the same one is known again; the broker itself knows those of the last minutes. */
const REMEMBERED_BATCHES = 20_000;

/** Everything that handling a batch of messages changed. */
export interface Changes {
  readonly windows: readonly Window[];
  readonly windowMs: (app: string) => number;
  readonly memories: ReadonlyMap<string, AppMemory>;
  readonly alerts: readonly Alert[];
  readonly outbox: readonly OutboxEntry[];
  /** Counted messages of PREDICTIONS; undefined when none came. */
  readonly counted: SequenceSet | undefined;
  /** Counted batches of OUTCOMES. */
  readonly batches: readonly string[];
}

export interface StoredWindow {
  readonly key: WindowKey;
  readonly toMs: number;
  readonly sums: Float64Array;
}

/** The monitor's state: all that changes with a batch changes in one transaction. */
export class MonitorStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  save(changes: Changes): Promise<void> {
    return this.#database.transaction(async (client) => {
      await saveWindows(client, changes);
      for (const [app, memory] of changes.memories) {
        await client.query({
          name: "save_memory",
          text: `INSERT INTO app_memory (app, memory) VALUES ($1, $2)
            ON CONFLICT (app) DO UPDATE SET memory = excluded.memory`,
          values: [app, JSON.stringify(memory)],
        });
      }
      await saveCounted(client, changes);
      await saveAlerts(client, changes);
    });
  }

  async memories(): Promise<Map<string, AppMemory>> {
    const rows = await this.#database.query<{ app: string; memory: AppMemory }>({ text: "SELECT * FROM app_memory" });
    return new Map(rows.map(({ app, memory }) => [app, memory]));
  }

  async counted(stream: string): Promise<SequenceSet> {
    const [row] = await this.#database.query<{ ranges: [number, number][] }>({
      text: "SELECT ranges FROM counted WHERE stream = $1",
      values: [stream],
    });
    return new SequenceSet(row?.ranges);
  }

  /** Those of the given batches that were counted before. */
  async countedBatches(ids: readonly string[]): Promise<Set<string>> {
    const rows = await this.#database.query<{ id: string }>({
      name: "counted_batches",
      text: "SELECT id FROM counted_batch WHERE id = ANY($1)",
      values: [ids],
    });
    return new Set(rows.map(({ id }) => id));
  }

  /** Windows of an app that begin at `fromMs` or later. */
  windowsSince(app: string, fromMs: number): Promise<StoredWindow[]> {
    return this.#windows("app = $1 AND from_ms >= $2", [app, fromMs]);
  }

  async window({ app, version, fromMs }: WindowKey, toMs: number): Promise<StoredWindow | undefined> {
    const values = [app, fromMs, toMs, version];
    return (await this.#windows("app = $1 AND from_ms = $2 AND to_ms = $3 AND version = $4", values))[0];
  }

  /** The newest windows of an app that end at `untilMs` or earlier, newest first. */
  newestWindows(app: string, untilMs: number, limit: number): Promise<StoredWindow[]> {
    return this.#windows("app = $1 AND to_ms <= $2 ORDER BY from_ms DESC, version DESC LIMIT $3", [
      app,
      untilMs,
      limit,
    ]);
  }

  async alerts(app: string, limit: number): Promise<Alert[]> {
    const rows = await this.#database.query<{ body: Buffer }>({
      text: "SELECT body FROM alert WHERE app = $1 ORDER BY changed_at DESC, id LIMIT $2",
      values: [app, limit],
    });
    return rows.map(({ body }) => fromBinary(AlertSchema, body));
  }

  async saveModel(model: ModelVersion): Promise<void> {
    await this.#database.query({
      text: "INSERT INTO model (version, body) VALUES ($1, $2) ON CONFLICT (version) DO UPDATE SET body = excluded.body",
      values: [versionOf(model), toBinary(ModelVersionSchema, model)],
    });
  }

  async models(): Promise<ModelVersion[]> {
    const rows = await this.#database.query<{ body: Buffer }>({ text: "SELECT body FROM model" });
    return rows.map(({ body }) => fromBinary(ModelVersionSchema, body));
  }

  async #windows(condition: string, values: unknown[]): Promise<StoredWindow[]> {
    const rows = await this.#database.query<WindowRow>({
      text: `SELECT app, version, from_ms::float8 AS from_ms, to_ms::float8 AS to_ms, sums FROM window_sums
        WHERE ${condition}`,
      values,
    });
    return rows.map(({ app, version, from_ms: fromMs, to_ms: toMs, sums }) => ({
      key: { app, version, fromMs },
      toMs,
      sums: decodeSums(sums),
    }));
  }
}

interface WindowRow {
  app: string;
  version: string;
  from_ms: number;
  to_ms: number;
  sums: Buffer;
}

async function saveWindows(client: PoolClient, { windows, windowMs }: Changes): Promise<void> {
  if (windows.length === 0) return;
  await client.query({
    name: "save_windows",
    text: `INSERT INTO window_sums (app, version, from_ms, to_ms, sums)
      SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bytea[])
      ON CONFLICT (app, from_ms, to_ms, version) DO UPDATE SET sums = excluded.sums`,
    values: [
      windows.map(({ key }) => key.app),
      windows.map(({ key }) => key.version),
      windows.map(({ key }) => key.fromMs),
      windows.map(({ key }) => key.fromMs + windowMs(key.app)),
      windows.map(({ sums }) => Buffer.from(sums.buffer, sums.byteOffset, sums.byteLength)),
    ],
  });
}

async function saveCounted(client: PoolClient, { counted, batches }: Changes): Promise<void> {
  if (counted !== undefined) {
    await client.query({
      name: "save_counted",
      text: `INSERT INTO counted (stream, ranges) VALUES ('PREDICTIONS', $1)
        ON CONFLICT (stream) DO UPDATE SET ranges = excluded.ranges`,
      values: [JSON.stringify(counted.ranges)],
    });
  }
  if (batches.length === 0) return;
  await client.query({
    name: "save_batches",
    text: `WITH added AS (INSERT INTO counted_batch (id) SELECT unnest($1::text[]) RETURNING number)
      DELETE FROM counted_batch WHERE number < (SELECT max(number) FROM added) - $2::bigint`,
    values: [batches, REMEMBERED_BATCHES],
  });
}

export async function saveAlerts(
  client: PoolClient,
  { alerts, outbox }: Pick<Changes, "alerts" | "outbox">,
): Promise<void> {
  for (const alert of alerts) {
    const changedAtMs = Number(alert.changedAt?.seconds ?? 0n) * 1_000;
    await client.query(
      `INSERT INTO alert (id, app, changed_at, body) VALUES ($1, $2, $3, $4)
        ON CONFLICT (id) DO UPDATE SET changed_at = excluded.changed_at, body = excluded.body`,
      [alert.id, alert.app, changedAtMs, toBinary(AlertSchema, alert)],
    );
  }
  for (const entry of outbox) await addToOutbox(client, entry);
}

/** A copy, so that it is aligned. */
function decodeSums(bytes: Buffer): Float64Array {
  return new Float64Array(new Uint8Array(bytes).buffer);
}
