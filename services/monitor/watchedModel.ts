import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { FeatureReference, ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { Baseline } from "./baseline.ts";
import type { Observation } from "./statistics/windowVariation.ts";

/** A model version as the monitor sees it: what its inputs and answers looked like in training. */
export interface WatchedModel {
  /** `<app>/<number>`; "" for predictions that no model made. */
  readonly version: string;
  /** Absent: BINARY. */
  readonly task?: Task;
  /** Its inputs, in the order in which predictions carry them, then `prediction`. */
  readonly subjects: readonly WatchedSubject[];
  readonly referenceRows: number;
  /** On its holdout; NaN when it says none. */
  readonly holdoutLogLoss: number;
  /** By how much the log loss was above what the probabilities promised, in windows of the holdout. */
  readonly holdoutExcess: readonly Observation[];
}

/** One input of a model, or its answer. */
export interface WatchedSubject extends FeatureReference {
  /** Its share of what the model's inputs are worth to it, 0 to 1; NaN where unknown, and for `prediction`. */
  readonly importance: number;
  /** What it is compared with. */
  readonly baseline: Baseline;
}

/** The last subject of every model: its answers. */
export const PREDICTION = "prediction";

/** Whether its answers are probabilities of yes or no, which several statistics are about. */
export const isBinary = ({ task = Task.BINARY }: WatchedModel): boolean =>
  task === Task.BINARY || task === Task.UNSPECIFIED;

export const versionOf = (model: ModelVersion): string => `${model.app}/${model.number}`;

/** A model without a reference for one of its inputs leaves that input unwatched. */
export function watchedModel(model: ModelVersion): WatchedModel {
  const byName = new Map(model.reference?.features.map((feature) => [feature.name, feature]));
  const subjects = model.featureNames.map((name, index) =>
    watchedSubject(byName.get(name) ?? unknownReference(name), model.importance[index]),
  );
  const prediction = model.reference?.prediction ?? unknownReference(PREDICTION);
  return {
    version: versionOf(model),
    task: model.task,
    subjects: [...subjects, watchedSubject({ ...prediction, name: PREDICTION })],
    referenceRows: Number(model.reference?.rows ?? 0n),
    holdoutLogLoss: model.metrics["log_loss"] ?? Number.NaN,
    holdoutExcess: (model.reference?.truth ?? []).map(({ rows, excessLogLoss, excessVariance }) => ({
      value: excessLogLoss,
      variance: excessVariance / rows,
    })),
  };
}

/** For predictions made without a model. */
export const NO_MODEL: WatchedModel = {
  version: "",
  subjects: [],
  referenceRows: 0,
  holdoutLogLoss: Number.NaN,
  holdoutExcess: [],
};

function watchedSubject(reference: FeatureReference, importance = Number.NaN): WatchedSubject {
  const windows = reference.windows.map(({ from, counts, missing }) => ({
    fromMs: from === undefined ? 0 : timestampMs(from),
    counts,
    missing,
  }));
  return { ...reference, importance, baseline: new Baseline(reference, windows) };
}

const unknownReference = (name: string): FeatureReference => ({
  $typeName: "millrace.training.v1.FeatureReference",
  name,
  edges: [],
  shares: [],
  missing: 0,
  mean: 0,
  standardDeviation: 0,
  windowPsi: [],
  windows: [],
  minimum: 0,
  maximum: 0,
  categories: [],
});
