import { timestampMs } from "@bufbuild/protobuf/wkt";
import { getApp } from "@millrace/app";
import { type Bus, decode, predictionSubject } from "@millrace/bus";
import { compileFeatures } from "@millrace/features";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { MadeBy, type Prediction, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { MillraceError } from "@millrace/runtime";
import type { ServedRows } from "./liveComparison.ts";

/** So many predictions, spread over the newest part of the stream: enough for a difference of two in a hundred. */
const WANTED = 5_000;
/** How many messages that part has. */
const NEWEST = 200_000;
/** Of a message with many rows, which are alike in when they were asked. */
const WANTED_OF_MESSAGE = 20;
/** Messages asked for at once. */
const AT_ONCE = 100;

/**
 * Features that an app's newest predictions were made from. They are read one by one from the stream, without a consumer: so that this
 * service needs no right to touch those of others.
 */
export async function readServed(bus: Bus, manifest: DatasetManifest): Promise<ServedRows> {
  const usable = await usableVersions(bus, manifest);
  const predictions: Prediction[] = [];
  for await (const prediction of newestPredictions(bus, manifest.app)) predictions.push(prediction);
  const served = predictions.filter(
    ({ appVersion, features, madeBy }) =>
      // A shadow's are those of the answer beside it.
      madeBy !== MadeBy.SHADOW && features.length === manifest.features.length && usable.has(appVersion),
  );
  let fromMs = Infinity;
  let toMs = -Infinity;
  for (const { occurredAt } of served) {
    if (occurredAt === undefined) continue;
    fromMs = Math.min(fromMs, timestampMs(occurredAt));
    toMs = Math.max(toMs, timestampMs(occurredAt));
  }
  return {
    rows: served.map(({ features }) => features),
    fromMs,
    toMs,
    nothingBecause: whyNothing(predictions, served),
  };
}

function whyNothing({ length }: readonly Prediction[], served: readonly Prediction[]): string {
  if (length === 0) return "no prediction was served lately";
  return served.length === 0 ? "the predictions served lately were made from other features" : "";
}

/** App versions that have the dataset's features: its own, and the newest when that has features of the same names. */
async function usableVersions(bus: Bus, { app: name, appVersion, features }: DatasetManifest): Promise<Set<number>> {
  const usable = new Set([appVersion]);
  try {
    const { app, version } = await getApp(bus, name);
    const names = app === undefined ? [] : compileFeatures(app).names;
    if (names.length === features.length && features.every((feature, index) => feature.name === names[index])) {
      usable.add(version);
    }
  } catch (error) {
    // A dataset may outlive its app.
    if (!(error instanceof MillraceError) || error.code !== "not_found") throw error;
  }
  return usable;
}

async function* newestPredictions(bus: Bus, app: string): AsyncIterable<Prediction> {
  const { state } = await bus.manager.streams.info("PREDICTIONS");
  const first = Math.max(state.first_seq, state.last_seq - NEWEST + 1);
  const stride = Math.max(1, (state.last_seq - first + 1) / WANTED);
  const evenly: number[] = [];
  for (let at = state.last_seq; at >= first && at > 0; at -= stride) evenly.push(Math.floor(at));
  const sequences = spread(evenly);
  const subject = predictionSubject(app);
  let found = 0;
  for (let from = 0; from < sequences.length && found < WANTED; from += AT_ONCE) {
    const asked = sequences.slice(from, from + AT_ONCE);
    const messages = await Promise.all(asked.map((seq) => bus.manager.direct.getMessage("PREDICTIONS", { seq })));
    for (const message of messages) {
      if (message === null || message.subject !== subject) continue;
      const { predictions } = decode(PredictionsSchema, message.data);
      const step = Math.ceil(predictions.length / WANTED_OF_MESSAGE);
      const some = predictions.filter((_, index) => index % step === 0);
      found += some.length;
      yield* some;
    }
  }
}

/** The same in another order, of which every beginning is spread over all of them: steps of the golden section, modulo their number. */
function spread<Item>(items: readonly Item[]): Item[] {
  const { length } = items;
  let step = Math.max(1, Math.round(length * GOLDEN));
  while (greatestDivisor(step, length) !== 1) step += 1;
  return items.map((_, index) => items[(index * step) % length] as Item);
}

const GOLDEN = (Math.sqrt(5) - 1) / 2;
const greatestDivisor = (left: number, right: number): number =>
  right === 0 ? left : greatestDivisor(right, left % right);
