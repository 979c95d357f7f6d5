import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Database } from "@millrace/db";
import {
  type GetSummaryResponse,
  GetSummaryResponseSchema,
  type GroupPerformance,
  GroupPerformanceSchema,
  type RetrainingDecision,
  RetrainingDecisionSchema,
  type ScoredPrediction,
  ScoredPredictionSchema,
} from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { type Contradiction, ContradictionSchema } from "@millrace/proto/millrace/feedback/v1/label_quality_pb.ts";
import { LABEL_SOURCES } from "./labelRule.ts";
import { decodeFeatures, madeByName } from "./predictionRow.ts";
import { decodeAnswer, type StoredAnswer } from "./storedAnswer.ts";

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
      this.decisions(app, 100),
    ]);
    const {
      outcomes = 0,
      open = 0,
      never = 0,
      median = null,
      unmatched = 0,
      ahead = 0,
      contradictions = 0,
      unpublished = 0,
    } = totals ?? {};
    return create(GetSummaryResponseSchema, {
      predictions: Object.fromEntries(byStep.map((row) => [madeByName(row.made_by), BigInt(row.count)])),
      outcomes: BigInt(outcomes),
      open: BigInt(open),
      neverLabelled: BigInt(never),
      ...(median === null ? {} : { medianLabelDelay: durationFromMs(median) }),
      unmatchedLabels: BigInt(unmatched),
      labelsAhead: BigInt(ahead),
      contradictions: BigInt(contradictions),
      unpublishedOutcomes: BigInt(unpublished),
      decisions,
    });
  }

  /** Performance on what was held out of decisions, and on the rest; one pass over the app's predictions. */
  async selection(app: string): Promise<{ heldOut: GroupPerformance; others: GroupPerformance }> {
    const rows = await this.#database.query<GroupRow>({ text: SELECTION, values: [app] });
    const group = (heldOut: boolean): GroupPerformance => groupOf(rows.find((row) => row.held_out === heldOut));
    return { heldOut: group(true), others: group(false) };
  }

  /** Every labelled prediction in order of predicted_at, in batches, as of one moment. */
  async *outcomes(app: string, classes: readonly string[], batch: number): AsyncIterable<ScoredPrediction[]> {
    const client = await this.#database.pool.connect();
    try {
      await client.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
      await client.query(
        `DECLARE outcomes NO SCROLL CURSOR FOR SELECT id, join_key, predicted_at::float8 AS predicted_at,
          known_at::float8 AS known_at, label, probability, model_version, made_by, features, answer, held_out
          FROM prediction WHERE app = $1 AND revision > 0 ORDER BY predicted_at, id`,
        [app],
      );
      for (;;) {
        const { rows } = await client.query<ScoredRow>(`FETCH ${batch} FROM outcomes`);
        if (rows.length === 0) return;
        yield rows.map((row) => scoredOf(row, classes));
      }
    } finally {
      await client.query("ROLLBACK").catch(() => undefined);
      client.release();
    }
  }

  /** Labels that contradict each other, the newest first. */
  async contradictions(app: string, max: number): Promise<Contradiction[]> {
    const rows = await this.#database.query<ContradictionRow>({
      text: `SELECT join_key, event_id, other_event_id, value, other_value, source, other_source, occurred_at::float8 AS occurred_at,
          other_occurred_at::float8 AS other_occurred_at
        FROM contradiction WHERE app = $1 ORDER BY known_at DESC, join_key, event_id LIMIT $2`,
      values: [app, max],
    });
    return rows.map(contradictionOf);
  }

  /** The newest first; those before a number, or all. */
  async decisions(app: string, max: number, before = 0n): Promise<RetrainingDecision[]> {
    const rows = await this.#database.query<DecisionRow>({
      text: `SELECT number::text AS number, decided_at::float8 AS decided_at, retrain, trigger, reason, job_id FROM decision
        WHERE app = $1 AND ($3::bigint = 0 OR decision.number < $3::bigint) ORDER BY decision.number DESC LIMIT $2`,
      values: [app, max, before],
    });
    return rows.map((row) =>
      create(RetrainingDecisionSchema, {
        number: BigInt(row.number),
        decidedAt: timestampFromMs(row.decided_at),
        retrain: row.retrain,
        trigger: row.trigger,
        reason: row.reason,
        jobId: row.job_id,
      }),
    );
  }
}

function contradictionOf(row: ContradictionRow): Contradiction {
  const source = (place: number): string => LABEL_SOURCES[place] ?? "";
  return create(ContradictionSchema, {
    joinKey: row.join_key,
    counts: {
      eventId: row.event_id,
      source: source(row.source),
      value: row.value,
      occurredAt: timestampFromMs(row.occurred_at),
    },
    other: {
      eventId: row.other_event_id,
      source: source(row.other_source),
      value: row.other_value,
      occurredAt: timestampFromMs(row.other_occurred_at),
    },
  });
}

const TOTALS = `SELECT
    count(*) FILTER (WHERE p.revision > 0)::float8 AS outcomes,
    count(*) FILTER (WHERE p.revision = 0 AND p.predicted_at + $2::bigint >= coalesce(a.watermark, 0))::float8 AS open,
    count(*) FILTER (WHERE p.revision = 0 AND p.predicted_at + $2::bigint < a.watermark)::float8 AS never,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY p.known_at - p.predicted_at) FILTER (WHERE p.revision > 0)::float8 AS median,
    (SELECT count(*) FROM label l WHERE l.app = $1 AND NOT EXISTS (
      SELECT 1 FROM prediction q WHERE q.app = $1 AND q.join_key = l.join_key))::float8 AS unmatched,
    (SELECT count(*) FROM label_ahead WHERE app = $1)::float8 AS ahead,
    (SELECT count(*) FROM contradiction WHERE app = $1)::float8 AS contradictions,
    (SELECT count(*) FROM outbox WHERE subject = 'outcomes.' || $1)::float8 AS unpublished
  FROM prediction p JOIN app_progress a ON a.app = p.app WHERE p.app = $1`;

interface ContradictionRow {
  join_key: string;
  event_id: string;
  other_event_id: string;
  value: number;
  other_value: number;
  source: number;
  other_source: number;
  occurred_at: number;
  other_occurred_at: number;
}

interface TotalsRow {
  outcomes: number;
  open: number;
  never: number;
  median: number | null;
  unmatched: number;
  ahead: number;
  contradictions: number;
  unpublished: number;
}

/** Predictions that no model made (no version) decide nothing about a model, and are left out. */
const SELECTION = `SELECT held_out IS NOT NULL AS held_out, count(*)::float8 AS predictions,
    count(*) FILTER (WHERE revision > 0)::float8 AS labelled, avg(label) AS label_mean,
    avg(probability) FILTER (WHERE revision > 0) AS probability_mean, avg((probability - label) ^ 2) AS brier,
    avg(-ln(least(1 - 1e-15, greatest(1e-15, CASE label WHEN 1 THEN probability ELSE 1 - probability END))))
      FILTER (WHERE label IN (0, 1)) AS log_loss
  FROM prediction WHERE app = $1 AND model_version <> '' GROUP BY 1`;

interface GroupRow {
  held_out: boolean;
  predictions: number;
  labelled: number;
  label_mean: number | null;
  probability_mean: number | null;
  brier: number | null;
  log_loss: number | null;
}

function groupOf(row: GroupRow | undefined): GroupPerformance {
  const group = create(GroupPerformanceSchema, {
    predictions: BigInt(row?.predictions ?? 0),
    labelled: BigInt(row?.labelled ?? 0),
  });
  if (row === undefined || row.label_mean === null) return group;
  group.labelMean = row.label_mean;
  group.probabilityMean = row.probability_mean ?? Number.NaN;
  group.brier = row.brier ?? Number.NaN;
  if (row.log_loss !== null) group.logLoss = row.log_loss;
  return group;
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
  held_out: number | null;
  answer: Buffer | null;
}

interface DecisionRow {
  number: string;
  decided_at: number;
  retrain: boolean;
  trigger: string;
  reason: string;
  job_id: string;
}

const NO_ANSWER: StoredAnswer = { predictedClass: "", classProbabilities: [], predictionSet: [] };

function scoredOf(row: ScoredRow, classes: readonly string[]): ScoredPrediction {
  const { value, interval, predictedClass, classProbabilities, predictionSet } =
    row.answer === null ? NO_ANSWER : decodeAnswer(row.answer);
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
    ...(row.held_out === null ? {} : { heldOut: row.held_out }),
    ...(value === undefined ? {} : { value }),
    ...(interval === undefined ? {} : { interval }),
    predictedClass,
    classProbabilities,
    predictionSet,
    labelClass: classes[row.label] ?? "",
  });
}
