import { randomUUID } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { outcomeSubject } from "@millrace/bus";
import { addToOutbox, type OutboxEntry } from "@millrace/outbox";
import { type Outcome, OutcomeSchema, OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import type { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { PoolClient } from "pg";
import { decodeAnswer, scoreAnswer } from "./storedAnswer.ts";

/** About 300 bytes each: well below the broker's limit of 1 MiB a message. */
const OUTCOMES_PER_MESSAGE = 1_000;

/** An outcome as the statements of the join answer it. */
export interface OutcomeRow {
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
  /** Null for BINARY. */
  answer: Buffer | null;
  /** When the first label that counts was known, or the prediction's own time. */
  first_known: number;
  held_out: number | null;
}

/** Puts a batch's outcomes into the outbox, as messages for `outcomes.<app>`. */
export async function addOutcomes(
  client: PoolClient,
  app: string,
  classes: readonly string[],
  rows: readonly OutcomeRow[],
): Promise<OutboxEntry[]> {
  const entries: OutboxEntry[] = [];
  for (let start = 0; start < rows.length; start += OUTCOMES_PER_MESSAGE) {
    const id = randomUUID();
    const outcomes = rows.slice(start, start + OUTCOMES_PER_MESSAGE).map((row) => outcomeOf(app, classes, row));
    const body = toBinary(OutcomesSchema, create(OutcomesSchema, { batchId: id, outcomes }));
    entries.push(await addToOutbox(client, { id, subject: outcomeSubject(app), body }));
  }
  return entries;
}

function outcomeOf(app: string, classes: readonly string[], row: OutcomeRow): Outcome {
  const { answer, label, previous_label: previous } = row;
  return create(OutcomeSchema, {
    predictionId: row.id,
    app,
    label,
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
    ...(previous === null ? {} : { previousLabel: previous }),
    ...(answer === null ? {} : scoreAnswer(decodeAnswer(answer), classes, label, previous)),
    ...(row.held_out === null ? {} : { heldOut: row.held_out }),
  });
}
