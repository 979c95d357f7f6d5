import { create, toBinary } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { labelQualitySubject } from "@millrace/bus";
import type { Database } from "@millrace/db";
import { addToOutbox, type Outbox, type OutboxEntry } from "@millrace/outbox";
import {
  type LabelDelay,
  LabelDelaySchema,
  type LabelQuality,
  LabelQualitySchema,
} from "@millrace/proto/millrace/feedback/v1/label_quality_pb.ts";
import type { PoolClient } from "pg";
import type { FollowedApp } from "./apps.ts";
import { delayQuantile } from "./delaySketch.ts";

/** Windows, and contradictions, are kept for so much event time. */
const KEEP_MS = 90 * 86_400_000;
/** After an outage there may be many windows; so many go into a transaction. */
const WINDOWS_PER_TRANSACTION = 100;

/** How much of the truth came, and how late: tells the bus of each window whose wait is over, and answers what is known of the last 90 days. */
export class LabelWatch {
  readonly #database: Database;
  readonly #outbox: Outbox;
  readonly #lookedAtMs = new Map<string, number>();

  constructor(database: Database, outbox: Outbox) {
    this.#database = database;
    this.#outbox = outbox;
  }

  /** The app's event time has moved to `watermarkMs`. */
  async onProgress(app: FollowedApp, watermarkMs: number): Promise<void> {
    const lookedAtMs = this.#lookedAtMs.get(app.name) ?? -Infinity;
    if (watermarkMs - lookedAtMs < app.windowMs / 8) return;
    for (;;) {
      const entries = await this.#database.transaction((client) => closeWindows(client, app, watermarkMs));
      await this.#outbox.publish(entries);
      if (entries.length < WINDOWS_PER_TRANSACTION) break;
    }
    if (watermarkMs - lookedAtMs >= app.windowMs) await this.#forget(app.name, watermarkMs - KEEP_MS);
    this.#lookedAtMs.set(app.name, watermarkMs);
  }

  /** One for each model version, over the windows that are kept and whose wait is over. */
  async quality({ name, label }: FollowedApp): Promise<LabelQuality[]> {
    const values = [name, label.window.waitMs];
    const [windows, bins] = await Promise.all([
      this.#database.query<WindowRow>({ ...MATURE_WINDOWS, values }),
      this.#database.query<BinRow>({ ...MATURE_DELAYS, values }),
    ]);
    return windows.map((row) => qualityOf(name, row, bins));
  }

  async #forget(app: string, beforeMs: number): Promise<void> {
    for (const [table, column] of [
      ["label_window", "window_to"],
      ["label_delay", "window_to"],
      ["contradiction", "known_at"],
    ]) {
      await this.#database.query({
        text: `DELETE FROM ${table} WHERE app = $1 AND ${column} < $2`,
        values: [app, beforeMs],
      });
    }
  }
}

interface WindowRow {
  model_version: string;
  window_from: number;
  window_to: number;
  predictions: number;
  labelled: number;
  revision: number;
}

interface BinRow {
  model_version: string;
  window_from: number;
  window_to: number;
  bin: number;
  labels: number;
}

const MATURE =
  "FROM app_progress a JOIN $TABLE w ON w.app = a.app WHERE a.app = $1 AND w.window_to + $2::bigint < a.watermark";

const MATURE_WINDOWS = {
  name: "mature_windows",
  text: `SELECT w.model_version, min(w.window_from)::float8 AS window_from, max(w.window_to)::float8 AS window_to,
      sum(w.predictions)::float8 AS predictions, sum(w.labelled)::float8 AS labelled, 0 AS revision
    ${MATURE.replace("$TABLE", "label_window")} GROUP BY w.model_version ORDER BY w.model_version`,
};

const MATURE_DELAYS = {
  name: "mature_delays",
  text: `SELECT w.model_version, w.bin, sum(w.labels)::float8 AS labels
    ${MATURE.replace("$TABLE", "label_delay")} GROUP BY w.model_version, w.bin`,
};

/** Takes the windows whose wait is over and that have changed since they were told; the joins of the app wait meanwhile. */
async function closeWindows(
  client: PoolClient,
  { name, label }: FollowedApp,
  watermarkMs: number,
): Promise<OutboxEntry[]> {
  await client.query("SELECT FROM app_progress WHERE app = $1 FOR UPDATE", [name]);
  const { rows } = await client.query<WindowRow>({
    name: "close_windows",
    text: `UPDATE label_window w SET published_revision = w.revision
      FROM (SELECT ctid FROM label_window WHERE app = $1 AND revision > published_revision AND window_to < $2
        ORDER BY window_to LIMIT ${WINDOWS_PER_TRANSACTION}) due
      WHERE w.ctid = due.ctid
      RETURNING model_version, window_from::float8 AS window_from, window_to::float8 AS window_to, predictions::float8 AS predictions,
        labelled::float8 AS labelled, revision`,
    values: [name, watermarkMs - label.window.waitMs],
  });
  if (rows.length === 0) return [];
  const bins = await client.query<BinRow>({
    name: "delays_of_windows",
    text: `SELECT d.model_version, d.window_from::float8 AS window_from, d.window_to::float8 AS window_to, d.bin, d.labels::float8 AS labels
      FROM label_delay d JOIN unnest($2::text[], $3::bigint[], $4::bigint[]) AS w (version, "from", "to")
        ON d.model_version = w.version AND d.window_from = w."from" AND d.window_to = w."to" WHERE d.app = $1`,
    values: [
      name,
      rows.map((row) => row.model_version),
      rows.map((row) => row.window_from),
      rows.map((row) => row.window_to),
    ],
  });
  const entries: OutboxEntry[] = [];
  for (const row of rows) {
    const own = bins.rows.filter((bin) => bin.window_from === row.window_from && bin.window_to === row.window_to);
    const id = `${name}/${row.model_version}/${row.window_from}/${row.window_to}/${row.revision}`;
    const body = toBinary(LabelQualitySchema, qualityOf(name, row, own));
    entries.push(await addToOutbox(client, { id, subject: labelQualitySubject(name), body }));
  }
  return entries;
}

function qualityOf(app: string, row: WindowRow, bins: readonly BinRow[]): LabelQuality {
  const delay = delayOf(bins.filter(({ model_version }) => model_version === row.model_version));
  return create(LabelQualitySchema, {
    app,
    modelVersion: row.model_version,
    from: timestampFromMs(row.window_from),
    to: timestampFromMs(row.window_to),
    revision: row.revision,
    predictions: BigInt(row.predictions),
    labelled: BigInt(row.labelled),
    ...(delay === undefined ? {} : { delay }),
  });
}

function delayOf(bins: readonly BinRow[]): LabelDelay | undefined {
  if (bins.length === 0) return undefined;
  const counts = new Map(bins.map(({ bin, labels }) => [bin, labels]));
  const quantile = (share: number) => durationFromMs(Math.round(delayQuantile(counts, share) ?? 0));
  return create(LabelDelaySchema, { p10: quantile(0.1), p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99) });
}
