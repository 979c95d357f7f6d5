import type { Outcome } from "@millrace/proto/millrace/feedback/v1/outcome_pb.ts";
import type { TruthSketch } from "./statistics/truthSketch.ts";

/** How an answer of MULTICLASS or REGRESSION compares with its truth. */
export type Score =
  | { readonly error: number }
  | {
      readonly right: boolean;
      /** What was given to the class that came true. */
      readonly labelProbability: number;
    };

/** What an outcome counts as, and what the revision before did, to be taken out again. Undefined: as nothing. */
export interface Scores {
  readonly now: Score | undefined;
  readonly before: Score | undefined;
}

/** Undefined for BINARY. What no model answered is not a model's performance. */
export function scoresOf(outcome: Outcome): Scores | undefined {
  const { value, predictedClass, labelProbability, previousLabelProbability, label, previousLabel } = outcome;
  if (value !== undefined) {
    return counted(
      outcome,
      { error: value - label },
      previousLabel === undefined ? undefined : { error: value - previousLabel },
    );
  }
  if (predictedClass === undefined) return undefined;
  const scored = (truth: number | undefined, probability: number | undefined): Score | undefined =>
    probability === undefined ? undefined : { right: truth === predictedClass, labelProbability: probability };
  return counted(outcome, scored(label, labelProbability), scored(previousLabel, previousLabelProbability));
}

const counted = ({ modelVersion }: Outcome, now: Score | undefined, before: Score | undefined): Scores =>
  modelVersion === "" ? { now: undefined, before: undefined } : { now, before };

/** Adds a score (weight 1) or takes it out (weight -1). */
export function addScore(truth: TruthSketch, score: Score | undefined, weight: 1 | -1): void {
  if (score === undefined) return;
  if ("error" in score) truth.addError(score.error, weight);
  else truth.addClass(score.labelProbability, score.right, weight);
}
