import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Database } from "@millrace/db";
import {
  type GetSummaryResponse,
  GetSummaryResponseSchema,
  type RetrainingDecision,
  RetrainingDecisionSchema,
  type ScoredPrediction,
  ScoredPredictionSchema,
} from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { decodeFeatures, madeByName } from "./predictionRow.ts";

/** What callers ask about stored predictions. */
export class Reports {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Counts everything: one pass over the app's predictions. */
  async summary(app: string, waitMs: number): Promise<GetSummaryResponse> {
    const [byStep, [totals], decisions] = await Promise.all([
      this.#database.query<{ made_by: number; count: number }>({
        text: "SELECT made_by, count(*)::float8 AS count FROM prediction WHERE app = $1 GROUP BY made_by",
        values: [app],
      }),
      this.#database.query<TotalsRow>({ text: TOTALS, values: [app, waitMs] }),
      this.#decisions(app),
    ]);
    const { outcomes = 0, open = 0, never = 0, median = null, unmatched = 0, unpublished = 0 } = totals ?? {};
    return create(GetSummaryResponseSchema, {
      predictions: Object.fromEntries(byStep.map((row) => [madeByName(row.made_by), BigInt(row.count)])),
      outcomes: BigInt(outcomes),
      open: BigInt(open),
      neverLabelled: BigInt(never),
      ...(median === null ? {} : { medianLabelDelay: durationFromMs(median) }),
      unmatchedLabels: BigInt(unmatched),
      unpublishedOutcomes: BigInt(unpublished),
      decisions,
    });
  }

  /** Every labelled prediction in order of predicted_at, in batches, as of one moment. */
  async *outcomes(app: string, batch: number): AsyncIterable<ScoredPrediction[]> {
    const client = await this.#database.pool.connect();
    try {
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
      await client.query(
        `DECLARE outcomes NO SCROLL CURSOR FOR SELECT id, join_key, predicted_at::float8 AS predicted_at,
          known_at::float8 AS known_at, label, probability, model_version, made_by, features
          FROM prediction WHERE app = $1 AND revision > 0 ORDER BY predicted_at, id`,
        [app],
      );
      for (;;) {
        const { rows } = await client.query<ScoredRow>(`FETCH ${batch} FROM outcomes`);
        if (rows.length === 0) return;
        yield rows.map(scoredOf);
      }
    } finally {
      await client.query("ROLLBACK").catch(() => undefined);
      client.release();
    }
  }

  async #decisions(app: string): Promise<RetrainingDecision[]> {
    const rows = await this.#database.query<DecisionRow>({
      text: `SELECT decided_at::float8 AS decided_at, retrain, trigger, reason, job_id FROM decision WHERE app = $1
        ORDER BY number DESC LIMIT 100`,
      values: [app],
    });
    return rows.map((row) =>
      create(RetrainingDecisionSchema, {
        decidedAt: timestampFromMs(row.decided_at),
        retrain: row.retrain,
        trigger: row.trigger,
        reason: row.reason,
        jobId: row.job_id,
      }),
    );
  }
}

const TOTALS = `SELECT
    count(*) FILTER (WHERE p.revision > 0)::float8 AS outcomes,
    count(*) FILTER (WHERE p.revision = 0 AND p.predicted_at + $2::bigint >= a.watermark)::float8 AS open,
    count(*) FILTER (WHERE p.revision = 0 AND p.predicted_at + $2::bigint < a.watermark)::float8 AS never,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY p.known_at - p.predicted_at) FILTER (WHERE p.revision > 0)::float8 AS median,
    (SELECT count(*) FROM label l WHERE l.app = $1 AND NOT EXISTS (
      SELECT 1 FROM prediction q WHERE q.app = $1 AND q.join_key = l.join_key))::float8 AS unmatched,
    (SELECT count(*) FROM outbox WHERE subject = 'outcomes.' || $1)::float8 AS unpublished
  FROM prediction p JOIN app_progress a ON a.app = p.app WHERE p.app = $1`;

interface TotalsRow {
  outcomes: number;
  open: number;
  never: number;
  median: number | null;
  unmatched: number;
  unpublished: number;
}

interface ScoredRow {
  id: string;
  join_key: string;
  predicted_at: number;
  known_at: number;
  label: number;
  probability: number;
  model_version: string;
  made_by: number;
  features: Buffer;
}

interface DecisionRow {
  decided_at: number;
  retrain: boolean;
  trigger: string;
  reason: string;
  job_id: string;
}

function scoredOf(row: ScoredRow): ScoredPrediction {
  return create(ScoredPredictionSchema, {
    predictionId: row.id,
    joinKey: row.join_key,
    predictedAt: timestampFromMs(row.predicted_at),
    knownAt: timestampFromMs(row.known_at),
    label: row.label,
    probability: row.probability,
    modelVersion: row.model_version,
    madeBy: madeByName(row.made_by),
    features: decodeFeatures(row.features),
  });
}
