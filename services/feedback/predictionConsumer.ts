import { timestampMs } from "@bufbuild/protobuf/wkt";
import { decode, done, inBatchSpan, type JsMsg, linksTo, type Outcome, reject, retry, skip } from "@millrace/bus";
import { MadeBy, PredictionSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { describeError } from "@millrace/runtime";
import type { Joiner } from "./joiner.ts";
import { type PredictionRow, predictionRow } from "./predictionRow.ts";

/** An app that is just being applied is known within moments; a prediction of one that is not by then has no home. */
const TRIES_FOR_APP = 10;

interface AppBatch {
  readonly rows: PredictionRow[];
  watermarkMs: number;
}

/** Handles messages of PREDICTIONS, of all apps. */
export function handlePredictions(joiner: Joiner): (messages: readonly JsMsg[]) => Promise<Outcome[]> {
  return async (messages) => {
    const batches = new Map<string, AppBatch>();
    const outcomes = messages.map((message) => take(joiner, message, batches));
    const rows = [...batches.values()].flatMap((batch) => batch.rows);
    await inBatchSpan(
      "store predictions",
      linksTo(rows.map(({ traceparent }) => traceparent)),
      rows.length,
      async () => {
        for (const [app, batch] of batches) await joiner.addPredictions(app, batch.rows, batch.watermarkMs);
      },
    );
    return outcomes;
  };
}

function take(joiner: Joiner, message: JsMsg, batches: Map<string, AppBatch>): Outcome {
  let prediction: ReturnType<typeof decodePrediction>;
  try {
    prediction = decodePrediction(message);
  } catch (error) {
    return reject(describeError(error));
  }
  const { app, featuresAsOf } = prediction;
  // Nobody acted on it, so that its truth is no outcome.
  if (prediction.madeBy === MadeBy.SHADOW) return skip("a shadow's prediction");
  if (!joiner.knows(app)) {
    const reason = `there is no app ${JSON.stringify(app)}`;
    return message.info.deliveryCount < TRIES_FOR_APP ? retry(500, reason) : reject(reason);
  }
  let batch = batches.get(app);
  if (batch === undefined) {
    batch = { rows: [], watermarkMs: 0 };
    batches.set(app, batch);
  }
  batch.rows.push(predictionRow(prediction, message.headers?.get("traceparent") ?? ""));
  // Not the request's own time: a caller may date it as it likes, and a clock must not jump for that.
  if (featuresAsOf !== undefined) batch.watermarkMs = Math.max(batch.watermarkMs, timestampMs(featuresAsOf));
  return done();
}

const decodePrediction = (message: JsMsg) => decode(PredictionSchema, message.data);
