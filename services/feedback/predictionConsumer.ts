import { timestampMs } from "@bufbuild/protobuf/wkt";
import { decode, done, inBatchSpan, type JsMsg, linksTo, type Outcome, reject, retry, skip } from "@millrace/bus";
import { MadeBy, type Prediction, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { describeError } from "@millrace/runtime";
import type { Joiner } from "./joiner.ts";
import { type PredictionRow, predictionRow } from "./predictionRow.ts";

/** An app that is just being applied is known within moments; a prediction of one that is not by then has no home. */
const TRIES_FOR_APP = 10;
/** Rows of a transaction, up to what its last message brings: a message may carry a hundred, and many come at once. */
const ROWS_PER_TRANSACTION = 4_000;

interface AppBatch {
  readonly rows: PredictionRow[];
  watermarkMs: number;
}

/** Handles messages of PREDICTIONS, of all apps. */
export function handlePredictions(joiner: Joiner): (messages: readonly JsMsg[]) => Promise<Outcome[]> {
  return async (messages) => {
    const outcomes: Outcome[] = [];
    let batches = new Map<string, AppBatch>();
    let rows = 0;
    for (const message of messages) {
      rows += take(joiner, message, batches, outcomes);
      if (rows < ROWS_PER_TRANSACTION) continue;
      await store(joiner, batches, rows);
      batches = new Map();
      rows = 0;
    }
    await store(joiner, batches, rows);
    return outcomes;
  };
}

async function store(joiner: Joiner, batches: ReadonlyMap<string, AppBatch>, rows: number): Promise<void> {
  const traceparents = new Set([...batches.values()].flatMap((batch) => batch.rows.map((row) => row.traceparent)));
  await inBatchSpan("store predictions", linksTo(traceparents), rows, async () => {
    for (const [app, batch] of batches) await joiner.addPredictions(app, batch.rows, batch.watermarkMs);
  });
}

/** Adds a message's predictions to its app's, and notes how it ends. Returns how many they are. */
function take(joiner: Joiner, message: JsMsg, batches: Map<string, AppBatch>, outcomes: Outcome[]): number {
  let predictions: Prediction[];
  try {
    // Nobody acted on a shadow's, so that its truth is no outcome.
    predictions = decode(PredictionsSchema, message.data).predictions.filter(({ madeBy }) => madeBy !== MadeBy.SHADOW);
  } catch (error) {
    outcomes.push(reject(describeError(error)));
    return 0;
  }
  const app = predictions[0]?.app;
  if (app === undefined) outcomes.push(skip("no prediction that was served"));
  else if (joiner.knows(app)) outcomes.push(done());
  else outcomes.push(unknownApp(message, app));
  if (app === undefined || !joiner.knows(app)) return 0;
  let batch = batches.get(app);
  if (batch === undefined) {
    batch = { rows: [], watermarkMs: 0 };
    batches.set(app, batch);
  }
  const traceparent = message.headers?.get("traceparent") ?? "";
  for (const prediction of predictions) {
    batch.rows.push(predictionRow(prediction, traceparent));
    const { featuresAsOf } = prediction;
    // Not the request's own time: a caller may date it as it likes, and a clock must not jump for that.
    if (featuresAsOf !== undefined) batch.watermarkMs = Math.max(batch.watermarkMs, timestampMs(featuresAsOf));
  }
  return predictions.length;
}

function unknownApp(message: JsMsg, app: string): Outcome {
  const reason = `there is no app ${JSON.stringify(app)}`;
  return message.info.deliveryCount < TRIES_FOR_APP ? retry(500, reason) : reject(reason);
}
