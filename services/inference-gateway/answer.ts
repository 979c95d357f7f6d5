import { Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";

/** What a model answers to a row, by its task. For BINARY the bare probability: a row pays for every object. */
export type Answer = number | ClassAnswer | ValueAnswer;

/** Of MULTICLASS. */
export interface ClassAnswer {
  /** The predicted class, an index of the app's classes. */
  readonly predicted: number;
  /** Of each class; empty where none are known. */
  readonly probabilities: ArrayLike<number>;
  /** 1 for each class that is likely enough; empty where nothing states a coverage. */
  readonly set: ArrayLike<number>;
}

/** Of REGRESSION. */
export interface ValueAnswer {
  readonly value: number;
  /** Absent where nothing states a coverage. */
  readonly interval: { readonly lower: number; readonly upper: number; readonly coverage: number } | undefined;
}

/** A version's task; older ones do not say that they are BINARY. */
export const taskOf = ({ task }: Pick<ModelVersion, "task">): Task => (task === Task.UNSPECIFIED ? Task.BINARY : task);

/** What a model that knows no feature would answer; undefined where the version does not say. */
export function baselineOf(model: Pick<ModelVersion, "task" | "baseRate" | "prior">): Answer | undefined {
  const [first] = model.prior;
  switch (taskOf(model)) {
    case Task.REGRESSION:
      return first === undefined ? undefined : { value: first, interval: undefined };
    case Task.MULTICLASS:
      return first === undefined
        ? undefined
        : { predicted: mostProbable(model.prior), probabilities: model.prior, set: [] };
    default:
      return model.baseRate;
  }
}

/** The index of the most probable class; the first of several. */
export function mostProbable(probabilities: ArrayLike<number>): number {
  let best = 0;
  for (let index = 1; index < probabilities.length; index += 1) {
    if ((probabilities[index] as number) > (probabilities[best] as number)) best = index;
  }
  return best;
}
