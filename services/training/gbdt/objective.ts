import { logit, lossOfLogOdds, sigmoid } from "../logOdds.ts";
import { baseRate, classShares, type Matrix } from "../matrix.ts";
import type { Task } from "../task.ts";

/** Scores, one array for each output, one number for each row. */
export type Scores = readonly Float64Array[];

type Labelled = Pick<Matrix, "labels" | "weights">;

/** What boosting makes smaller: a loss of a label and its scores, by the first and second derivatives in each score. */
export interface Objective {
  readonly outputs: number;
  /** The constant scores with the smallest loss, float32 numbers; trees begin there. */
  baseScores(rows: Labelled): Float64Array;
  /**
   * Writes gradient and hessian of one output in turn, times the row's weight. Of a round, the first output is asked for first, before
   * any of its trees has changed the scores.
   *
   * @param out of 2 * rows numbers
   */
  derive(rows: Labelled, scores: Scores, output: number, out: Float64Array): void;
  /** Mean loss, rows counted by their weight. */
  loss(rows: Labelled, scores: Scores): number;
}

/** Keeps a leaf of rows that are all but certain from dividing by nothing. XGBoost's bound too. */
const MIN_HESSIAN = 1e-16;

export function objectiveOf(task: Task): Objective {
  switch (task.kind) {
    case "binary":
      return LOG_LOSS;
    case "multiclass":
      return softmaxLoss(task.classes.length);
    case "regression":
      return SQUARED_ERROR;
  }
}

/** Log loss of a label of 0 or 1; the score is in log odds. Gradient p - y, hessian p (1 - p). */
export const LOG_LOSS: Objective = {
  outputs: 1,
  baseScores: (rows) => Float64Array.of(Math.fround(logit(baseRate(rows)))),
  derive({ labels, weights }, [scores = new Float64Array()], _, out) {
    for (let row = 0; row < labels.length; row += 1) {
      const probability = sigmoid(scores[row] as number);
      const weight = weights === undefined ? 1 : (weights[row] as number);
      out[2 * row] = weight * (probability - (labels[row] as number));
      out[2 * row + 1] = weight * Math.max(probability * (1 - probability), MIN_HESSIAN);
    }
  },
  loss: (rows, [scores = new Float64Array()]) =>
    weightedMean(rows, (row) => lossOfLogOdds(rows.labels[row] as number, scores[row] as number)),
};

/** Half the squared error; gradient s - y, hessian 1. */
export const SQUARED_ERROR: Objective = {
  outputs: 1,
  baseScores: (rows) => Float64Array.of(Math.fround(baseRate(rows))),
  derive({ labels, weights }, [scores = new Float64Array()], _, out) {
    for (let row = 0; row < labels.length; row += 1) {
      const weight = weights === undefined ? 1 : (weights[row] as number);
      out[2 * row] = weight * ((scores[row] as number) - (labels[row] as number));
      out[2 * row + 1] = weight;
    }
  },
  loss: (rows, [scores = new Float64Array()]) =>
    weightedMean(rows, (row) => ((scores[row] as number) - (rows.labels[row] as number)) ** 2 / 2),
};

/** Log loss of a class's index; probabilities are exp(score) over their sum. Gradient p - y, hessian 2 p (1 - p), as in XGBoost. */
export function softmaxLoss(classes: number): Objective {
  let normalisers: Float64Array = new Float64Array();
  return {
    outputs: classes,
    baseScores: (rows) => classShares(rows, classes).map((share) => Math.fround(Math.log(share))),
    derive({ labels, weights }, scores, output, out) {
      if (output === 0) normalisers = logSumExp(scores);
      const own = scores[output] as Float64Array;
      for (let row = 0; row < labels.length; row += 1) {
        const probability = Math.exp((own[row] as number) - (normalisers[row] as number));
        const weight = weights === undefined ? 1 : (weights[row] as number);
        out[2 * row] = weight * (probability - (labels[row] === output ? 1 : 0));
        out[2 * row + 1] = weight * Math.max(2 * probability * (1 - probability), MIN_HESSIAN);
      }
    },
    loss(rows, scores) {
      const sums = logSumExp(scores);
      return weightedMean(
        rows,
        (row) => (sums[row] as number) - ((scores[rows.labels[row] as number] as Float64Array)[row] as number),
      );
    },
  };
}

/** ln of the sum over the outputs of exp(score), for each row; exact for scores of any size. */
export function logSumExp(scores: Scores): Float64Array {
  const rows = scores[0]?.length ?? 0;
  const result = new Float64Array(rows);
  for (let row = 0; row < rows; row += 1) {
    let largest = -Infinity;
    for (const output of scores) largest = Math.max(largest, output[row] as number);
    let sum = 0;
    for (const output of scores) sum += Math.exp((output[row] as number) - largest);
    result[row] = largest + Math.log(sum);
  }
  return result;
}

function weightedMean({ labels, weights }: Labelled, of: (row: number) => number): number {
  let sum = 0;
  let total = 0;
  for (let row = 0; row < labels.length; row += 1) {
    const weight = weights === undefined ? 1 : (weights[row] as number);
    sum += weight * of(row);
    total += weight;
  }
  return sum / total;
}
