import type { FeatureReference, ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";

/** A model version as the monitor sees it: what its inputs and answers looked like in training. */
export interface WatchedModel {
  /** `<app>/<number>`; "" for predictions that no model made. */
  readonly version: string;
  /** Its inputs, in the order in which predictions carry them, then `prediction`. */
  readonly subjects: readonly FeatureReference[];
  readonly referenceRows: number;
  /** On its holdout; NaN when it says none. */
  readonly holdoutLogLoss: number;
}

export const versionOf = (model: ModelVersion): string => `${model.app}/${model.number}`;

/** A model without a reference for one of its inputs leaves that input unwatched. */
export function watchedModel(model: ModelVersion): WatchedModel {
  const byName = new Map(model.reference?.features.map((feature) => [feature.name, feature]));
  const subjects = model.featureNames.map((name) => byName.get(name) ?? unknownReference(name));
  const prediction = model.reference?.prediction ?? unknownReference("prediction");
  return {
    version: versionOf(model),
    subjects: [...subjects, { ...prediction, name: "prediction" }],
    referenceRows: Number(model.reference?.rows ?? 0n),
    holdoutLogLoss: model.metrics["log_loss"] ?? Number.NaN,
  };
}

/** For predictions made without a model. */
export const NO_MODEL: WatchedModel = { version: "", subjects: [], referenceRows: 0, holdoutLogLoss: Number.NaN };

const unknownReference = (name: string): FeatureReference => ({
  $typeName: "millrace.training.v1.FeatureReference",
  name,
  edges: [],
  shares: [],
  missing: 0,
  mean: 0,
  standardDeviation: 0,
  windowPsi: [],
});
