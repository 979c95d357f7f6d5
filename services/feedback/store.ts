import { randomUUID } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { outcomeSubject } from "@millrace/bus";
import type { Database } from "@millrace/db";
import { addToOutbox, type OutboxEntry } from "@millrace/outbox";
import { type Outcome, OutcomeSchema, OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import type { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { PoolClient } from "pg";
import type { Label } from "./labelRule.ts";
import type { PredictionRow } from "./predictionRow.ts";
import { ADVANCE, PLAN_BY_INDEX, PRUNE_LABELS, STORE_LABELS, STORE_PREDICTIONS } from "./statements.ts";

/** What a batch came to, once it is committed. */
export interface Stored {
  readonly outcomes: readonly Outcome[];
  /** What is to be published now. */
  readonly entries: readonly OutboxEntry[];
  /** The app's event time, from labels and from the features behind predictions. */
  readonly watermarkMs: number;
}

/** For whom, and how long the truth may take. */
export interface JoinScope {
  readonly app: string;
  readonly waitMs: number;
}

/** About 300 bytes each: well below the broker's limit of 1 MiB a message. */
const OUTCOMES_PER_MESSAGE = 1_000;

/** Predictions and labels, and their join. */
export class OutcomeStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Stores predictions, once each, and joins them with labels that came earlier. */
  storePredictions(scope: JoinScope, rows: readonly PredictionRow[], watermarkMs: number): Promise<Stored> {
    return this.#join(scope, watermarkMs, STORE_PREDICTIONS, [
      rows.map((row) => row.joinKey),
      rows.map((row) => row.id),
      rows.map((row) => row.predictedAtMs),
      rows.map((row) => row.probability),
      rows.map((row) => row.decision),
      rows.map((row) => row.modelVersion),
      rows.map((row) => row.madeBy),
      rows.map((row) => row.features),
      rows.map((row) => row.traceparent),
    ]);
  }

  /** Stores labels, one per key (see `newestPerKey`), and joins them with the predictions that they are the truth of. */
  storeLabels(scope: JoinScope, labels: readonly Label[], watermarkMs: number): Promise<Stored> {
    return this.#join(scope, watermarkMs, STORE_LABELS, [
      labels.map((label) => label.joinKey),
      labels.map((label) => label.eventId),
      labels.map((label) => label.value),
      labels.map((label) => label.occurredAtMs),
      labels.map((label) => label.logSequence),
      labels.map((label) => label.knownAtMs),
      labels.map((label) => label.traceparent),
    ]);
  }

  async pruneLabels(app: string, beforeMs: number): Promise<void> {
    await this.#database.query({ ...PRUNE_LABELS, values: [app, beforeMs] });
  }

  #join({ app, waitMs }: JoinScope, watermarkMs: number, statement: Statement, columns: unknown[][]): Promise<Stored> {
    return this.#database.transaction(async (client) => {
      const advanced = await client.query<{ watermark: number }>({
        ...ADVANCE,
        values: [app, watermarkMs, statement === STORE_PREDICTIONS],
      });
      await client.query(PLAN_BY_INDEX);
      const { rows } = await client.query<OutcomeRow>({ ...statement, values: [app, waitMs, ...columns] });
      const outcomes = rows.map((row) => outcomeOf(app, row));
      const entries = await addOutcomes(client, app, outcomes);
      return { outcomes, entries, watermarkMs: advanced.rows[0]?.watermark ?? watermarkMs };
    });
  }
}

interface Statement {
  readonly name: string;
  readonly text: string;
}

interface OutcomeRow {
  id: string;
  predicted_at: number;
  probability: number;
  decision: string;
  model_version: string;
  made_by: MadeBy;
  traceparent: string;
  revision: number;
  label: number;
  previous_label: number | null;
  label_event_id: string;
  known_at: number;
  label_traceparent: string;
}

function outcomeOf(app: string, row: OutcomeRow): Outcome {
  return create(OutcomeSchema, {
    predictionId: row.id,
    app,
    label: row.label,
    labelEventId: row.label_event_id,
    predictedAt: timestampFromMs(row.predicted_at),
    knownAt: timestampFromMs(row.known_at),
    probability: row.probability,
    decision: row.decision,
    modelVersion: row.model_version,
    madeBy: row.made_by,
    predictionTraceparent: row.traceparent,
    labelTraceparent: row.label_traceparent,
    revision: row.revision,
    ...(row.previous_label === null ? {} : { previousLabel: row.previous_label }),
  });
}

async function addOutcomes(client: PoolClient, app: string, outcomes: Outcome[]): Promise<OutboxEntry[]> {
  const entries: OutboxEntry[] = [];
  for (let start = 0; start < outcomes.length; start += OUTCOMES_PER_MESSAGE) {
    const id = randomUUID();
    const slice = outcomes.slice(start, start + OUTCOMES_PER_MESSAGE);
    const body = toBinary(OutcomesSchema, create(OutcomesSchema, { batchId: id, outcomes: slice }));
    entries.push(await addToOutbox(client, { id, subject: outcomeSubject(app), body }));
  }
  return entries;
}
