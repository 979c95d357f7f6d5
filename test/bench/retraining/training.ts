import { create } from "@bufbuild/protobuf";
import { durationToMs } from "@millrace/app";
import { DatasetManifestSchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { type WatchedModel, watchedModel } from "../../../services/monitor/watchedModel.ts";
import { type ModelledApp, splitOf } from "../../../services/training/appRows.ts";
import { candidateRows } from "../../../services/training/candidates.ts";
import type { BuiltDataset } from "../../../services/training/dataset.ts";
import { predictWithArtefact } from "../../../services/training/evaluate.ts";
import { evaluateModel } from "../../../services/training/evaluation/evaluation.ts";
import type { ChampionResult } from "../../../services/training/gates.ts";
import { trainAndJudge } from "../../../services/training/job.ts";
import { bestOf, type Judgement, judge, judgementOf } from "../../../services/training/judging.ts";
import type { Matrix } from "../../../services/training/matrix.ts";
import { describeVersion } from "../../../services/training/version.ts";
import type { FlightHistory } from "./flightHistory.ts";

/** A model as it serves in the bench. */
export interface BenchModel {
  readonly number: number;
  readonly asOfMs: number;
  readonly onnx: Uint8Array;
  readonly algorithm: string;
  /** What the monitor compares with. */
  readonly watched: WatchedModel;
}

export interface Training {
  readonly model: BenchModel;
  readonly accepted: boolean;
  readonly verdict: readonly string[];
}

export interface TrainingOptions {
  readonly number: number;
  /** Undefined: there is none, or the gates are not asked. */
  readonly champion: BenchModel | undefined;
  readonly gated: boolean;
  /** Most rows of one training, as TRAINING_MAX_ROWS. */
  readonly maxRows: number;
}

/** One training as the training service does it, as of `asOfMs`: split, candidates, calibration, gates against the champion. */
export async function train(
  history: FlightHistory,
  app: ModelledApp,
  asOfMs: number,
  { number, champion, gated, maxRows }: TrainingOptions,
): Promise<Training> {
  const dataset = datasetAsOf(history, app, asOfMs);
  const split = await splitOf(dataset, app, maxRows);
  const rows = candidateRows(dataset, split, app.model);
  const judgement = judgementOf(app);
  const signal = new AbortController().signal;
  const { candidates, trials } = await trainAndJudge(app, rows, judgement, signal, () => undefined);
  const best = bestOf(candidates, app.model.metric);
  const against = await judgeChampion(champion, rows.holdout, judgement);
  const evaluation = {
    app,
    dataset,
    split,
    rows: dataset.rows,
    best,
    candidates,
    against,
    warnings: [],
    trials,
    folds: [],
  };
  const { accepted, metrics, verdict } = gated
    ? await evaluateModel(evaluation)
    : { accepted: true, metrics: best.metrics, verdict: ["Nobody asks the gates."] };
  const job = create(TrainingJobSchema, { app: app.app.app });
  const version = describeVersion({ ...evaluation, job, metrics, verdict, artefact: "", evaluation: "" });
  version.number = number;
  const model = { number, asOfMs, onnx: best.onnx, algorithm: best.algorithm, watched: watchedModel(version) };
  return { model, accepted, verdict };
}

async function judgeChampion(
  champion: BenchModel | undefined,
  holdout: Matrix,
  judgement: Judgement,
): Promise<ChampionResult> {
  if (champion === undefined) return { kind: "none" };
  return { kind: "measured", number: champion.number, ...(await judge(champion.onnx, holdout, judgement)) };
}

/** The rows of the app's `history` before `asOfMs`; labels that nobody knew then are missing. */
function datasetAsOf(
  { names, columns, labels, atMs, landedMs }: FlightHistory,
  { model }: ModelledApp,
  asOfMs: number,
): BuiltDataset {
  const fromMs = asOfMs - (durationToMs(model.history) ?? Infinity);
  const [begin, end] = [firstAtOrAfter(atMs, fromMs), firstAtOrAfter(atMs, asOfMs)];
  const known = labels
    .slice(begin, end)
    .map((label, row) => ((landedMs[begin + row] as number) < asOfMs ? label : Number.NaN));
  const rows = {
    featureNames: names,
    columns: columns.map((column) => column.subarray(begin, end)),
    labels: known,
    occurredAtMs: atMs.subarray(begin, end),
  };
  return { manifest: create(DatasetManifestSchema), asOfMs, rows };
}

/** The model's probabilities for flights `begin` to `end`. */
export const answersOf = (
  model: BenchModel,
  { columns }: FlightHistory,
  begin: number,
  end: number,
): Promise<Float64Array> =>
  predictWithArtefact(
    model.onnx,
    columns.map((column) => column.subarray(begin, end)),
  );

/** Index of the first that is not smaller, of ascending numbers. */
export function firstAtOrAfter(ascending: Float64Array, value: number): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((ascending[middle] as number) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
