import { logLoss } from "@millrace/metrics";

/** probability = sigmoid(slope * score + intercept); a score is in log odds. */
export interface Calibration {
  readonly slope: number;
  readonly intercept: number;
}

/** Leaves scores as they are. */
export const UNCALIBRATED: Calibration = { slope: 1, intercept: 0 };

export const sigmoid = (score: number): number => 1 / (1 + Math.exp(-score));

export const logit = (probability: number): number => Math.log(probability / (1 - probability));

export function calibrated(scores: Float64Array, { slope, intercept }: Calibration): Float64Array {
  return scores.map((score) => sigmoid(slope * score + intercept));
}

const MAX_ITERATIONS = 50;

/**
 * Platt scaling: a logistic regression of the label on the score, fitted by Newton's method (Platt, 1999; smoothed
 * targets as in Lin, Lin and Weng, 2007). Used only where it helps: it is fitted on the first half of the slice and judged on
 * the second, and only when that is better than leaving scores alone fitted again on all of it.
 *
 * @param scores in log odds, rows in order of time
 * @param labels 0 or 1, of the same length
 */
export function fitCalibration(scores: Float64Array, labels: Float64Array): Calibration {
  const half = Math.floor(scores.length / 2);
  if (half < 50) return UNCALIBRATED;
  const trial = fitPlatt(scores.subarray(0, half), labels.subarray(0, half));
  const judge = (calibration: Calibration): number =>
    logLoss(labels.subarray(half), calibrated(scores.subarray(half), calibration));
  return judge(trial) < judge(UNCALIBRATED) ? fitPlatt(scores, labels) : UNCALIBRATED;
}

export function fitPlatt(scores: Float64Array, labels: Float64Array): Calibration {
  let positives = 0;
  for (const label of labels) positives += label;
  const negatives = labels.length - positives;
  const positiveTarget = (positives + 1) / (positives + 2);
  const negativeTarget = 1 / (negatives + 2);
  let slope = 1;
  let intercept = 0;
  for (let iteration = 0; iteration < MAX_ITERATIONS; iteration += 1) {
    let g1 = 0;
    let g2 = 0;
    let h11 = 1e-9;
    let h12 = 0;
    let h22 = 1e-9;
    for (let row = 0; row < scores.length; row += 1) {
      const score = scores[row] as number;
      const probability = sigmoid(slope * score + intercept);
      const residual = probability - (labels[row] === 1 ? positiveTarget : negativeTarget);
      const weight = probability * (1 - probability);
      g1 += residual * score;
      g2 += residual;
      h11 += weight * score * score;
      h12 += weight * score;
      h22 += weight;
    }
    const determinant = h11 * h22 - h12 * h12;
    if (!(determinant > 0)) break;
    const slopeStep = (h22 * g1 - h12 * g2) / determinant;
    const interceptStep = (h11 * g2 - h12 * g1) / determinant;
    slope -= slopeStep;
    intercept -= interceptStep;
    if (Math.abs(slopeStep) + Math.abs(interceptStep) < 1e-10) break;
  }
  // A slope that is not positive would turn the order of the scores around: the scores say nothing here.
  return Number.isFinite(slope + intercept) && slope > 0 ? { slope, intercept } : UNCALIBRATED;
}
