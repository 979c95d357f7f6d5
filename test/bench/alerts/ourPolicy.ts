import { create } from "@bufbuild/protobuf";
import { ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { AlertChange } from "../../../services/monitor/alertPolicy.ts";
import { AppWatch, emptyMemory } from "../../../services/monitor/appWatch.ts";
import type { MonitoringRules } from "../../../services/monitor/monitoringRules.ts";
import { type WatchedModel, watchedModel } from "../../../services/monitor/watchedModel.ts";
import { describeTraining } from "../../../services/training/reference.ts";
import type { Block, Stream } from "./streams.ts";

/** As the app splits its history: the newest fifth is the holdout. */
const HOLDOUT = 0.2;
const FIRST_LIVE_MS = Date.UTC(2001, 0, 1);

/** The reference of a model that was trained on the stream's first days, as the training service describes it. */
export function referenceModel(
  stream: Stream,
  names: readonly string[],
  importance: readonly number[],
  windowMs: number,
): WatchedModel {
  const { reference: blocks } = stream;
  const join = (of: (block: Block) => Float64Array): Float64Array => {
    const parts = blocks.map(of);
    const joined = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of parts) {
      joined.set(part, at);
      at += part.length;
    }
    return joined;
  };
  let window = 0;
  const occurredAtMs = join(({ offsetsMs }) => {
    const fromMs = FIRST_LIVE_MS + (window - blocks.length) * windowMs;
    window += 1;
    return offsetsMs.map((offset) => fromMs + offset);
  });
  const holdoutFromMs = FIRST_LIVE_MS - Math.round(blocks.length * HOLDOUT) * windowMs;
  const indexes = Uint32Array.from(occurredAtMs.keys());
  const train = indexes.filter((row) => (occurredAtMs[row] as number) < holdoutFromMs);
  const holdout = indexes.filter((row) => (occurredAtMs[row] as number) >= holdoutFromMs);
  const all = join(({ probabilities }) => probabilities);
  const reference = describeTraining({
    featureNames: names,
    columns: names.map((_, column) => join(({ columns }) => columns[column] as Float64Array)),
    occurredAtMs,
    train,
    holdout,
    labels: join(({ labels }) => labels),
    predictions: Float64Array.from(holdout, (row) => all[row] as number),
    windowMs,
  });
  const version = { app: "flight-delays", number: 1, featureNames: [...names], importance: [...importance], reference };
  return watchedModel(create(ModelVersionSchema, version));
}

/** A change of an alert, and the live window that it is about, counted from 0. */
export interface Told {
  readonly window: number;
  readonly change: AlertChange;
}

/** Runs the service's own code over the stream's live windows. */
export function runOurs(stream: Stream, model: WatchedModel, rules: MonitoringRules): Told[] {
  const watch = new AppWatch(rules, emptyMemory(), () => model);
  const { windowMs } = rules;
  const told: Told[] = [];
  const advance = (toMs: number): void => {
    for (const change of watch.advance(toMs, model.version))
      told.push({ window: Math.round((change.changedAtMs - FIRST_LIVE_MS) / windowMs) - 1, change });
    watch.forgetOld();
  };
  for (const [window, block] of stream.live.entries()) {
    const fromMs = FIRST_LIVE_MS + window * windowMs;
    addBlock(watch, block, fromMs, model.version);
    advance(fromMs + windowMs);
  }
  advance(FIRST_LIVE_MS + (stream.live.length + 2) * windowMs + rules.labelWaitMs);
  return told;
}

function addBlock(watch: AppWatch, block: Block, fromMs: number, version: string): void {
  for (let row = 0; row < block.labels.length; row += 1) {
    const atMs = fromMs + (block.offsetsMs[row] as number);
    const probability = block.probabilities[row] as number;
    const features = block.columns.map((column) => column[row] as number);
    watch.addPrediction({
      id: `${fromMs}/${row}`,
      version,
      atMs,
      features,
      probability,
      byModel: true,
      fallback: false,
    });
    const label = block.labels[row] as number;
    watch.addOutcome({ version, predictedAtMs: atMs, probability, label, previousLabel: undefined });
  }
}
