import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { trainingJobSubject } from "@millrace/bus";
import type { Database } from "@millrace/db";
import { addToOutbox, type OutboxEntry } from "@millrace/outbox";
import { TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import type { PoolClient } from "pg";
import type { Decision, OpenAlert, RetrainingState } from "./retrainingPolicy.ts";

/** How a training can end. One whose model was accepted goes on as a trial of that model, which no training has to wait for. */
const ENDS: ReadonlySet<string> = new Set(["promoted", "accepted", "rejected", "failed"]);

/** What a model event says that matters here. */
export interface ModelNews {
  readonly app: string;
  readonly what: string;
  readonly version: string;
  readonly asOfMs: number | undefined;
  readonly jobId: string;
  /** Its place in MODELS: event time may stand still between a promotion and a roll-back. */
  readonly sequence: number;
}

export interface AlertNews extends OpenAlert {
  readonly app: string;
  readonly id: string;
  readonly changedAtMs: number;
  readonly resolved: boolean;
}

/** What a decision is made from, and what was decided. Each change is one transaction that holds the app's row. */
export class RetrainingStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Lets `decide` see the app's state and stores what it decides, when that is something new or was asked for by a person.
   */
  decide(
    app: string,
    { nowMs, expiredBeforeMs, budgetMs }: DecisionTimes,
    decide: (state: RetrainingState) => Decision,
  ): Promise<Decided> {
    return this.#database.transaction(async (client) => {
      const row = await lockRow(client, app);
      const trainedAtMs = await trainedSince(client, app, row.watermark - budgetMs);
      const state = stateOf(app, row, { alerts: await openAlerts(client, app), trainedAtMs }, expiredBeforeMs);
      const decision = decide(state);
      const jobId = decision.retrain ? `${app}-${decision.atMs}` : "";
      if (!decision.retrain && decision.code === row.last_decision && decision.trigger !== "manual")
        return { decision, jobId, entry: undefined };
      await addDecision(client, app, decision, jobId);
      await client.query("UPDATE retraining SET last_decision = $2 WHERE app = $1", [app, decision.code]);
      const entry = decision.retrain ? await startJob(client, jobId, decision, state, nowMs) : undefined;
      return { decision, jobId, entry };
    });
  }

  /** Takes over what a model event says: who serves, and that a training has ended. */
  applyModelNews(news: ModelNews): Promise<void> {
    return this.#database.transaction(async (client) => {
      const row = await lockRow(client, news.app);
      if ((news.what === "promoted" || news.what === "rolled_back") && news.sequence > row.champion_sequence) {
        await client.query(
          "UPDATE retraining SET champion = $2, champion_as_of = $3, champion_sequence = $4 WHERE app = $1",
          [news.app, news.version, news.asOfMs ?? null, news.sequence],
        );
      }
      if (!ENDS.has(news.what) || news.jobId === "") return;
      if (news.jobId === row.job_id) {
        await client.query("UPDATE retraining SET job_ended = true WHERE app = $1", [news.app]);
      } else if (row.job_ended && news.asOfMs !== undefined && news.asOfMs > (row.job_as_of ?? 0)) {
        // Asked for at the registry: the cool-down and the count of new labels begin again there, too.
        await client.query(
          "UPDATE retraining SET job_id = $2, job_as_of = $3, labels_at_job = $4, job_ended = true WHERE app = $1",
          [news.app, news.jobId, news.asOfMs, row.labels],
        );
        const reason = "A training that was asked for at the registry has ended.";
        const decision = { retrain: true, trigger: "manual", code: "retrain", reason, atMs: news.asOfMs } as const;
        await addDecision(client, news.app, decision, news.jobId);
      }
    });
  }

  /** Takes over what an alert says; an older message changes nothing. */
  async applyAlertNews(news: AlertNews): Promise<void> {
    await this.#database.query({
      name: "apply_alert",
      text: `INSERT INTO open_alert AS a (app, monitor, alert_id, model_version, title, opened_at, changed_at, resolved)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (app, monitor) DO UPDATE SET alert_id = excluded.alert_id, model_version = excluded.model_version,
          title = excluded.title, opened_at = excluded.opened_at, changed_at = excluded.changed_at,
          resolved = excluded.resolved
        WHERE (a.opened_at, a.changed_at) <= (excluded.opened_at, excluded.changed_at)`,
      values: [
        news.app,
        news.monitor,
        news.id,
        news.modelVersion,
        news.title,
        news.openedAtMs,
        news.changedAtMs,
        news.resolved,
      ],
    });
  }
}

/** When a decision is made. */
export interface DecisionTimes {
  /** Wall clock. */
  readonly nowMs: number;
  /** Wall clock: a training requested before it counts as ended. */
  readonly expiredBeforeMs: number;
  /** Event time over which a budget counts trainings; 0 without one. */
  readonly budgetMs: number;
}

export interface Decided {
  readonly decision: Decision;
  readonly jobId: string;
  /** The training job to publish, when it decided to retrain. */
  readonly entry: OutboxEntry | undefined;
}

interface StateRow {
  champion: string;
  champion_as_of: number | null;
  champion_sequence: number;
  job_id: string | null;
  job_as_of: number | null;
  job_requested_at: number | null;
  job_ended: boolean;
  labels_at_job: number;
  last_decision: string;
  watermark: number;
  labels: number;
  first_label_at: number | null;
  asked: boolean;
}

async function lockRow(client: PoolClient, app: string): Promise<StateRow> {
  await client.query("INSERT INTO retraining (app) VALUES ($1) ON CONFLICT DO NOTHING", [app]);
  const { rows } = await client.query<StateRow>({
    name: "lock_retraining",
    text: `SELECT r.champion, r.champion_as_of::float8 AS champion_as_of, r.champion_sequence::float8 AS champion_sequence, r.job_id,
        r.job_as_of::float8 AS job_as_of, r.job_requested_at::float8 AS job_requested_at, r.job_ended,
        r.labels_at_job::float8 AS labels_at_job, r.last_decision, coalesce(p.watermark, 0)::float8 AS watermark,
        coalesce(p.labels, 0)::float8 AS labels, p.first_label_at::float8 AS first_label_at, coalesce(p.asked, false) AS asked
      FROM retraining r LEFT JOIN app_progress p ON p.app = r.app WHERE r.app = $1 FOR UPDATE OF r`,
    values: [app],
  });
  return rows[0] as StateRow;
}

async function openAlerts(client: PoolClient, app: string): Promise<OpenAlert[]> {
  const { rows } = await client.query<{ monitor: string; model_version: string; title: string; opened_at: number }>({
    name: "open_alerts",
    text: "SELECT monitor, model_version, title, opened_at::float8 AS opened_at FROM open_alert WHERE app = $1 AND NOT resolved ORDER BY monitor",
    values: [app],
  });
  return rows.map((row) => ({
    monitor: row.monitor,
    modelVersion: row.model_version,
    title: row.title,
    openedAtMs: row.opened_at,
  }));
}

async function trainedSince(client: PoolClient, app: string, sinceMs: number): Promise<number[]> {
  const { rows } = await client.query<{ at: number }>({
    name: "trained_since",
    text: "SELECT decided_at::float8 AS at FROM decision WHERE app = $1 AND retrain AND decided_at > $2",
    values: [app, sinceMs],
  });
  return rows.map(({ at }) => at);
}

async function addDecision(client: PoolClient, app: string, decision: Decision, jobId: string): Promise<void> {
  await client.query({
    name: "add_decision",
    text: "INSERT INTO decision (app, decided_at, retrain, trigger, reason, job_id) VALUES ($1, $2, $3, $4, $5, $6)",
    values: [app, decision.atMs, decision.retrain, decision.trigger, decision.reason, jobId],
  });
}

function stateOf(
  app: string,
  row: StateRow,
  { alerts, trainedAtMs }: Pick<RetrainingState, "alerts" | "trainedAtMs">,
  expiredBeforeMs: number,
): RetrainingState {
  const running = !row.job_ended && (row.job_requested_at ?? 0) >= expiredBeforeMs;
  return {
    app,
    eventTimeMs: row.watermark,
    champion: row.champion === "" ? undefined : { version: row.champion, asOfMs: row.champion_as_of ?? 0 },
    labels: row.labels,
    firstLabelAtMs: row.first_label_at ?? undefined,
    asked: row.asked,
    lastJob:
      row.job_id === null
        ? undefined
        : { id: row.job_id, asOfMs: row.job_as_of ?? 0, running, labelsThen: row.labels_at_job },
    trainedAtMs,
    alerts,
  };
}

async function startJob(
  client: PoolClient,
  jobId: string,
  decision: Decision,
  { app, labels }: RetrainingState,
  nowMs: number,
): Promise<OutboxEntry> {
  await client.query(
    `UPDATE retraining SET job_id = $2, job_as_of = $3, job_requested_at = $4, job_ended = false, labels_at_job = $5
      WHERE app = $1`,
    [app, jobId, decision.atMs, nowMs, labels],
  );
  const job = create(TrainingJobSchema, {
    id: jobId,
    app,
    trigger: decision.trigger,
    reason: decision.reason,
    asOf: timestampFromMs(decision.atMs),
  });
  return addToOutbox(client, { id: jobId, subject: trainingJobSubject(app), body: toBinary(TrainingJobSchema, job) });
}
