import { timestampMs } from "@bufbuild/protobuf/wkt";
import { decode, done, inBatchSpan, type JsMsg, linksTo, type Outcome, reject, retry, skip } from "@millrace/bus";
import { OutcomesSchema } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import { MadeBy, type Prediction, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { describeError } from "@millrace/runtime";
import type { SeenPrediction } from "./appWatch.ts";
import type { Models } from "./models.ts";
import { scoresOf } from "./outcomeScore.ts";
import type { OutcomeBatch, PredictionBatch, Watcher } from "./watcher.ts";

/** An app that is just being applied is known within moments. */
const TRIES_FOR_APP = 10;

/** Handles messages of PREDICTIONS, of all apps. */
export function handlePredictions(
  watcher: Watcher,
  models: Models,
): (messages: readonly JsMsg[]) => Promise<Outcome[]> {
  return async (messages) => {
    const seen: PredictionBatch[] = [];
    const outcomes = messages.map((message): Outcome => {
      let all: Prediction[];
      try {
        all = decode(PredictionsSchema, message.data).predictions;
      } catch (error) {
        return reject(describeError(error));
      }
      const served = all.filter(({ madeBy }) => madeBy !== MadeBy.SHADOW);
      const app = served[0]?.app;
      if (app === undefined) return skip("no prediction that was served");
      if (!watcher.knows(app)) return unknownApp(message, app);
      seen.push(batchOf(app, message.seq, served, models.champion(app)));
      return done();
    });
    const links = linksTo(messages.map((message) => message.headers?.get("traceparent")));
    await inBatchSpan("watch predictions", links, messages.length, () => watcher.countPredictions(seen));
    return outcomes;
  };
}

/** Handles messages of OUTCOMES, of all apps. */
export function handleOutcomes(watcher: Watcher): (messages: readonly JsMsg[]) => Promise<Outcome[]> {
  return async (messages) => {
    const batches: OutcomeBatch[] = [];
    const traceparents: string[] = [];
    const outcomes = messages.map((message): Outcome => {
      const { batchId: id, outcomes: all } = decode(OutcomesSchema, message.data);
      const app = all[0]?.app;
      if (app === undefined) return done();
      if (!watcher.knows(app)) return unknownApp(message, app);
      let watermarkMs = 0;
      for (const { knownAt, predictionTraceparent } of all) {
        if (knownAt !== undefined) watermarkMs = Math.max(watermarkMs, timestampMs(knownAt));
        if (predictionTraceparent !== "") traceparents.push(predictionTraceparent);
      }
      const seen = all.map((outcome) => ({
        version: outcome.modelVersion,
        predictedAtMs: outcome.predictedAt === undefined ? 0 : timestampMs(outcome.predictedAt),
        probability: outcome.probability,
        label: outcome.label,
        previousLabel: outcome.previousLabel,
        scores: scoresOf(outcome),
      }));
      batches.push({ app, id, outcomes: seen, watermarkMs });
      return done();
    });
    await inBatchSpan("watch outcomes", linksTo(traceparents), messages.length, () => watcher.countOutcomes(batches));
    return outcomes;
  };
}

function unknownApp(message: JsMsg, app: string): Outcome {
  const reason = `there is no app ${JSON.stringify(app)}`;
  return message.info.deliveryCount < TRIES_FOR_APP ? retry(500, reason) : reject(reason);
}

function batchOf(app: string, sequence: number, all: readonly Prediction[], champion: string): PredictionBatch {
  let watermarkMs = 0;
  // Not the request's own time: a caller may date it as it likes, and a clock must not jump for that.
  for (const { featuresAsOf } of all) {
    if (featuresAsOf !== undefined) watermarkMs = Math.max(watermarkMs, timestampMs(featuresAsOf));
  }
  return { app, sequence, watermarkMs, predictions: all.map((prediction) => seenPrediction(prediction, champion)) };
}

/** The answer as one number, as the reference has it. */
function answerOf({ value, classProbabilities, probability }: Prediction): number {
  if (value !== undefined) return value;
  return classProbabilities.length === 0 ? probability : classProbabilities.indexOf(Math.max(...classProbabilities));
}

function seenPrediction(prediction: Prediction, champion: string): SeenPrediction {
  const { id, requestId, occurredAt, madeBy, features, modelVersion } = prediction;
  return {
    // One that the gateway chose cannot be asked again.
    id: id === requestId ? "" : id,
    // A fallback that no model made stands beside the champion that should have.
    version: modelVersion || champion,
    atMs: occurredAt === undefined ? 0 : timestampMs(occurredAt),
    features,
    probability: answerOf(prediction),
    byModel: madeBy === MadeBy.CHAMPION || madeBy === MadeBy.PREVIOUS || madeBy === MadeBy.CANARY,
    fallback: madeBy !== MadeBy.CHAMPION && madeBy !== MadeBy.CANARY,
  };
}
