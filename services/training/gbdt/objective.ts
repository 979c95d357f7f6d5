import { logit, lossOfLogOdds, sigmoid } from "../logOdds.ts";
import { baseRate, type Matrix } from "../matrix.ts";

/** What boosting makes smaller: a loss of a label and a score, by its first and second derivative in the score. */
export interface Objective {
  /** The constant score with the smallest loss, a float32 number; trees begin there. */
  baseScore(rows: Matrix): number;
  /** Writes gradient and hessian in turn, times the row's weight. @param out of 2 * rows numbers */
  derive(rows: Matrix, scores: Float64Array, out: Float64Array): void;
  /** Mean loss, rows counted by their weight. */
  loss(rows: Matrix, scores: Float64Array): number;
}

/** Keeps a leaf of rows that are all but certain from dividing by nothing. XGBoost's bound too. */
const MIN_HESSIAN = 1e-16;

/** Log loss of a label of 0 or 1; the score is in log odds. Gradient p - y, hessian p (1 - p). */
export const LOG_LOSS: Objective = {
  baseScore: (rows) => Math.fround(logit(baseRate(rows))),
  derive({ labels, weights }, scores, out) {
    for (let row = 0; row < labels.length; row += 1) {
      const probability = sigmoid(scores[row] as number);
      const weight = weights === undefined ? 1 : (weights[row] as number);
      out[2 * row] = weight * (probability - (labels[row] as number));
      out[2 * row + 1] = weight * Math.max(probability * (1 - probability), MIN_HESSIAN);
    }
  },
  loss({ labels, weights }, scores) {
    let sum = 0;
    let total = 0;
    for (let row = 0; row < labels.length; row += 1) {
      const weight = weights === undefined ? 1 : (weights[row] as number);
      sum += weight * lossOfLogOdds(labels[row] as number, scores[row] as number);
      total += weight;
    }
    return sum / total;
  },
};
