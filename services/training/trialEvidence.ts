import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { QueryConfig, QueryResultRow } from "pg";
import type { CanaryEvidence, ShadowEvidence } from "./promotionPolicy.ts";
import { rolesOf, type TrialRow } from "./trialRow.ts";

/** One answer of a trial, or what became known of it. The same answer may come as a prediction and as an outcome, in any order. */
export interface TrialAnswer {
  readonly id: string;
  /** Absent in outcomes. */
  readonly requestId?: string;
  readonly version: string;
  readonly madeBy: MadeBy;
  /** The canary was asked first, and did not answer. */
  readonly failed: boolean;
  readonly probability: number;
  readonly predictedAtMs: number;
  /** Absent while the truth is not known. */
  readonly label?: number;
}

/** More answers of a stage than this are not kept: the policies ask for at most 100,000 of either side. */
const MAX_ANSWERS = 1_000_000;

type Query = <Row extends QueryResultRow>(statement: QueryConfig) => Promise<Row[]>;

/** What was answered during a trial's stage. Every write may be repeated, and the writes may come in any order. */
export class TrialEvidence {
  readonly #query: Query;

  constructor(query: (statement: QueryConfig) => Promise<QueryResultRow[]>) {
    this.#query = query as Query;
  }

  async add(app: string, answers: readonly TrialAnswer[]): Promise<void> {
    await this.#query({
      name: "add_trial_answers",
      text: `INSERT INTO trial_answers AS known (app, id, request_id, version, made_by, failed, probability, predicted_at, label)
             SELECT DISTINCT ON (id) $1::text, id, request_id, version, made_by, failed, probability, predicted_at, label
             FROM unnest($2::text[], $3::text[], $4::text[], $5::smallint[], $6::boolean[], $7::float8[], $8::timestamptz[], $9::float8[])
               WITH ORDINALITY AS come (id, request_id, version, made_by, failed, probability, predicted_at, label, place)
             WHERE (SELECT reltuples FROM pg_class WHERE oid = 'trial_answers'::regclass) < $10
             ORDER BY id, place DESC
             ON CONFLICT (app, id) DO UPDATE SET request_id = coalesce(known.request_id, EXCLUDED.request_id),
               failed = known.failed OR EXCLUDED.failed, label = coalesce(EXCLUDED.label, known.label)`,
      values: [
        app,
        answers.map(({ id }) => id),
        answers.map(({ requestId }) => requestId ?? null),
        answers.map(({ version }) => version),
        answers.map(({ madeBy }) => madeBy),
        answers.map(({ failed }) => failed),
        answers.map(({ probability }) => probability),
        answers.map(({ predictedAtMs }) => new Date(predictedAtMs)),
        answers.map(({ label }) => label ?? null),
        MAX_ANSWERS,
      ],
    });
  }

  /** How much has come of what the stage asks for. */
  async seen(trial: TrialRow): Promise<number> {
    const { app, stage, number } = trial;
    if (stage === "queued" || stage === "candidate") return 0;
    const own = [app, `${app}/${number}`];
    const [row] =
      stage === "shadow" || stage === "probation"
        ? await this.#query<Count>({
            text: `SELECT count(*)::float8 AS count FROM (${PAIRS}) AS pairs ${stage === "probation" ? "WHERE label IS NOT NULL" : ""}`,
            values: pairOf(trial),
          })
        : await this.#query<Count>({
            text: `SELECT count(*)::float8 AS count FROM trial_answers WHERE app = $1 AND version = $2 AND made_by = $3 AND label IS NOT NULL`,
            values: [...own, MadeBy.CANARY],
          });
    return row?.count ?? 0;
  }

  /** Of a shadow; and of a probation, whose shadow is the champion before. */
  async shadow(trial: TrialRow): Promise<ShadowEvidence> {
    const { app } = trial;
    const rows = await this.#query<{ own: number; other: number; label: number | null }>({
      text: PAIRS,
      values: pairOf(trial),
    });
    const [asked] = await this.#query<Count>({
      text: "SELECT count(*)::float8 AS count FROM trial_answers WHERE app = $1 AND version = $2 AND made_by = $3",
      values: [app, `${app}/${rolesOf(trial).champion}`, MadeBy.CHAMPION],
    });
    return {
      challenger: Float64Array.from(rows, ({ own }) => own),
      champion: Float64Array.from(rows, ({ other }) => other),
      labels: Float64Array.from(rows, ({ label }) => label ?? Number.NaN),
      asked: asked?.count ?? 0,
    };
  }

  async canary({ app, number, champion }: TrialRow): Promise<CanaryEvidence> {
    const own = [app, `${app}/${number}`, MadeBy.CANARY];
    const challenger = await this.#labelled("", own);
    // The champion's share of the same time.
    const others = await this.#labelled(
      `AND predicted_at BETWEEN (SELECT min(predicted_at) FROM trial_answers WHERE app = $1 AND version = $4 AND made_by = $5)
         AND (SELECT max(predicted_at) FROM trial_answers WHERE app = $1 AND version = $4 AND made_by = $5)`,
      [app, `${app}/${champion}`, MadeBy.CHAMPION, own[1], MadeBy.CANARY],
    );
    const [counts] = await this.#query<{ answered: number; failed: number }>({
      text: `SELECT count(*) FILTER (WHERE version = $2 AND made_by = $3)::float8 AS answered,
               count(*) FILTER (WHERE failed)::float8 AS failed FROM trial_answers WHERE app = $1`,
      values: own,
    });
    return { challenger, champion: others, answered: counts?.answered ?? 0, failed: counts?.failed ?? 0 };
  }

  async #labelled(and: string, values: unknown[]): Promise<CanaryEvidence["champion"]> {
    const rows = await this.#query<{ probability: number; label: number }>({
      text: `SELECT probability, label FROM trial_answers
             WHERE app = $1 AND version = $2 AND made_by = $3 AND label IS NOT NULL AND NOT failed ${and} ORDER BY predicted_at, id`,
      values,
    });
    return {
      probabilities: Float64Array.from(rows, ({ probability }) => probability),
      labels: Float64Array.from(rows, ({ label }) => label),
    };
  }
}

interface Count extends QueryResultRow {
  readonly count: number;
}

/** The shadow's answers beside the champion's to the same questions. The truth is that of the answer that was given. */
const PAIRS = `SELECT own.probability AS own, other.probability AS other, other.label AS label
  FROM trial_answers AS own JOIN trial_answers AS other ON other.app = own.app AND other.request_id = own.request_id
  WHERE own.app = $1 AND own.version = $2 AND own.made_by = $3 AND other.made_by = $4 AND other.version = $5
  ORDER BY other.predicted_at, other.id`;

function pairOf(trial: TrialRow): unknown[] {
  const { app } = trial;
  const { beside, champion } = rolesOf(trial);
  return [app, `${app}/${beside}`, MadeBy.SHADOW, MadeBy.CHAMPION, `${app}/${champion}`];
}
