import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { MadeBy, type Prediction, PredictionSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { ChainAnswer } from "./fallback.ts";
import type { FeatureRead } from "./featureReading.ts";
import type { AskedRow } from "./requestRules.ts";
import type { ServedApp } from "./servedApp.ts";

/** Everything that a prediction is made of. */
export interface Made {
  readonly app: ServedApp;
  readonly row: AskedRow;
  readonly occurredAt: Timestamp;
  readonly read: FeatureRead;
  readonly answer: ChainAnswer;
  readonly durationMs: number;
}

/** Puts an answer together, decided by the app's policy. */
export function makePrediction({ app, row, occurredAt, read, answer, durationMs }: Made): Prediction {
  const prediction = create(PredictionSchema);
  const { decision, band } = app.decide(answer.probability);
  prediction.id = randomUUID();
  prediction.app = app.name;
  prediction.requestId = row.requestId || prediction.id;
  prediction.joinKey = keyText(row.fields[app.joinField]);
  prediction.occurredAt = occurredAt;
  prediction.probability = answer.probability;
  prediction.decision = decision;
  if (band !== undefined) prediction.band = band;
  const heldOut = app.heldOut?.(row.fields);
  if (heldOut !== undefined) prediction.heldOut = heldOut;
  prediction.modelVersion = answer.modelVersion;
  prediction.madeBy = answer.madeBy;
  prediction.reason = answer.reason;
  prediction.features = Array.from(answer.features);
  prediction.appVersion = app.version;
  if (read.asOf !== undefined) {
    prediction.featuresAsOf = read.asOf;
    prediction.featuresAgeMs = BigInt(Math.max(0, timestampMs(occurredAt) - timestampMs(read.asOf)));
  }
  prediction.featuresExact = read.exact && answer.features.length > 0;
  prediction.durationUs = Math.round(durationMs * 1_000);
  prediction.cached = answer.cached;
  return prediction;
}

/** What a version that answers nobody says to the question of a prediction. */
export function makeShadowPrediction(
  served: Prediction,
  app: ServedApp,
  { probability, modelVersion, features }: Pick<ChainAnswer, "probability" | "modelVersion" | "features">,
  durationMs: number,
): Prediction {
  const prediction = { ...served };
  const { decision, band } = app.decide(probability);
  prediction.id = randomUUID();
  prediction.probability = probability;
  prediction.decision = decision;
  if (band === undefined) delete prediction.band;
  else prediction.band = band;
  prediction.modelVersion = modelVersion;
  prediction.madeBy = MadeBy.SHADOW;
  prediction.reason = "";
  prediction.features = Array.from(features);
  prediction.durationUs = Math.round(durationMs * 1_000);
  prediction.cached = false;
  return prediction;
}

/** A field's value as text, the same for whoever compares by it: a prediction and its label, a canary's share. */
export function keyText(value: Value | undefined): string {
  const kind = value?.kind;
  if (kind === undefined || kind.case === undefined) return "";
  return kind.case === "timestampValue" ? String(timestampMs(kind.value)) : String(kind.value);
}
