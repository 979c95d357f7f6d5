import { randomUUID } from "node:crypto";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { MadeBy, type Prediction } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { Answer } from "./answer.ts";
import type { ChainAnswer } from "./fallback.ts";
import type { FeatureRead } from "./featureReading.ts";
import { predictionId } from "./predictionId.ts";
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
  const { decision, band } = app.decide(answer.answer);
  const { asOf } = read;
  const id = predictionId(app.name, row.requestId);
  // Not `create`: it costs more than all else here.
  const prediction: Prediction = {
    $typeName: "millrace.prediction.v1.Prediction",
    id,
    app: app.name,
    requestId: row.requestId || id,
    joinKey: keyText(row.fields[app.joinField]),
    occurredAt,
    probability: 0,
    decision,
    modelVersion: answer.modelVersion,
    madeBy: answer.madeBy,
    reason: answer.reason,
    features: Array.from(answer.features),
    appVersion: app.version,
    featuresExact: read.exact && answer.features.length > 0,
    durationUs: Math.round(durationMs * 1_000),
    cached: answer.cached,
    predictedClass: "",
    classProbabilities: NONE,
    predictionSet: NONE,
  };
  setAnswer(prediction, app, answer.answer);
  if (band !== undefined) prediction.band = band;
  const heldOut = app.heldOut?.(row.fields);
  if (heldOut !== undefined) prediction.heldOut = heldOut;
  if (asOf !== undefined) {
    prediction.featuresAsOf = asOf;
    prediction.featuresAgeMs = BigInt(Math.max(0, timestampMs(occurredAt) - timestampMs(asOf)));
  }
  return prediction;
}

/** What a version that answers nobody says to the question of a prediction. */
export function makeShadowPrediction(
  served: Prediction,
  app: ServedApp,
  { answer, modelVersion, features }: Pick<ChainAnswer, "answer" | "modelVersion" | "features">,
  durationMs: number,
): Prediction {
  const prediction = { ...served };
  const { decision, band } = app.decide(answer);
  prediction.id = randomUUID();
  setAnswer(prediction, app, answer);
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

/** Of what a task does not answer: shared, as every BINARY prediction would make its own. Nobody adds to it. */
const NONE: never[] = [];

function setAnswer(prediction: Prediction, { classes }: ServedApp, answer: Answer): void {
  if (typeof answer === "number") {
    prediction.probability = answer;
    return;
  }
  if ("value" in answer) {
    prediction.value = answer.value;
    if (answer.interval === undefined) delete prediction.interval;
    else prediction.interval = { $typeName: "millrace.prediction.v1.Interval", ...answer.interval };
    return;
  }
  const { predicted, probabilities, set } = answer;
  prediction.probability = probabilities[predicted] ?? 0;
  prediction.predictedClass = classes[predicted] ?? "";
  prediction.classProbabilities = Array.from(probabilities);
  prediction.predictionSet = classes.filter((_, index) => set[index] === 1);
}

/** A field's value as text, the same for whoever compares by it: a prediction and its label, a canary's share. */
export function keyText(value: Value | undefined): string {
  const kind = value?.kind;
  if (kind === undefined || kind.case === undefined) return "";
  return kind.case === "timestampValue" ? String(timestampMs(kind.value)) : String(kind.value);
}
