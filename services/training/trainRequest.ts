import { MillraceError } from "@millrace/runtime";
import { checkTrainable, columnsWithoutInformation, labelProblem, type Matrix } from "./matrix.ts";
import { labelText, type Task } from "./task.ts";
import type { BaselineKind } from "./trainers/baseline.ts";

/** `logistic` is for classes, `linear` for numbers. */
export type TrainerAlgorithm = "gbdt" | "logistic" | "linear" | "baseline";

export interface TrainRequest {
  readonly algorithm: TrainerAlgorithm;
  /** Default: binary. */
  readonly task?: Task;
  readonly train: Matrix;
  /** Decides when to stop boosting. */
  readonly validation: Matrix;
  /** Seen by nothing but the calibration; rows in order of time. */
  readonly calibration: Matrix;
  /** By feature: 1 where the answer must not fall when it grows, -1 where it must not rise. Trees keep to it. */
  readonly monotone?: Readonly<Record<string, -1 | 1>>;
  /** Share of the truths that intervals and sets have to hold. */
  readonly coverage?: number;
  /** Of the algorithm `baseline`; default: the prior. */
  readonly baseline?: BaselineKind;
  /** What differs from the algorithm's defaults. */
  readonly parameters?: Readonly<Record<string, number>>;
  /** Of what is drawn at random: features, where `featureShare` is below 1. */
  readonly seed?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal | undefined;
  /** Share done, 0 to 1, and what is being done. */
  readonly onProgress?: ((share: number, what: string) => void) | undefined;
}

/**
 * Refuses what cannot be trained, before any time is spent.
 *
 * @throws `failed_precondition` naming the feature or the row, the rule, and what to do
 */
export function checkRequest(request: TrainRequest, task: Task): void {
  const { algorithm, train, validation, calibration } = request;
  checkAlgorithm(algorithm, task);
  checkTrainable(train, task);
  for (const [name, part] of Object.entries({ validation, calibration })) {
    if (part.featureNames.join() !== train.featureNames.join()) {
      const features = `the ${name} rows have the features ${part.featureNames.join(", ")}`;
      throw new MillraceError("failed_precondition", `${features}, those to train on ${train.featureNames.join(", ")}`);
    }
    for (const [row, label] of part.labels.entries()) {
      const problem = labelProblem(label, task);
      if (problem !== undefined) throw new MillraceError("failed_precondition", `${name} row ${row} ${problem}`);
    }
  }
  checkMonotone(request, task);
  const useless = columnsWithoutInformation(train);
  if (algorithm !== "baseline" && useless.length === train.columns.length) {
    const advice = "look at the features' windows and entities, or train the baseline only";
    throw new MillraceError("failed_precondition", `no feature varies: ${useless.join("; ")}: ${advice}`);
  }
}

function checkMonotone({ train, monotone = {} }: TrainRequest, task: Task): void {
  const [name] = Object.keys(monotone);
  if (name === undefined) return;
  const refuse = (what: string): never => {
    throw new MillraceError("failed_precondition", what);
  };
  if (task.kind === "multiclass") {
    refuse(
      `monotone.${name}: of ${labelText(task, 0)} and ${task.classes.length - 1} other classes none is more than another; leave monotone out`,
    );
  }
  for (const feature of Object.keys(monotone)) {
    if (!train.featureNames.includes(feature)) refuse(`monotone.${feature}: there is no such feature`);
    if (train.categorical?.includes(feature) === true) {
      refuse(`monotone.${feature}: it is categorical, so its values have no order; leave it out of one of the two`);
    }
  }
}

/** @throws `failed_precondition` where the algorithm is not for the task */
function checkAlgorithm(algorithm: TrainerAlgorithm, task: Task): void {
  const isForNumbers = algorithm === "linear";
  if (algorithm === "gbdt" || algorithm === "baseline" || isForNumbers === (task.kind === "regression")) return;
  const instead = isForNumbers ? "LOGISTIC is for classes" : "LINEAR is for numbers";
  throw new MillraceError("failed_precondition", `${algorithm.toUpperCase()} is not for this task; ${instead}`);
}
