import { sigmoid } from "../logOdds.ts";
import type { CalibrationRows } from "./calibration.ts";

/** probability = sigmoid(slope * score + intercept); a score is in log odds. */
export interface PlattCalibration {
  readonly method: "platt";
  readonly slope: number;
  readonly intercept: number;
}

const MAX_ITERATIONS = 50;

/**
 * Platt scaling: a logistic regression of the label on the score, fitted by Newton's method (Platt, 1999; smoothed targets as in
 * Lin, Lin and Weng, 2007). Nothing where the scores say nothing, or the opposite of what happened: a slope that is not positive
 * would turn their order around.
 */
export function fitPlatt({ scores, labels, weights }: CalibrationRows): PlattCalibration | undefined {
  let positives = 0;
  let total = 0;
  for (let row = 0; row < labels.length; row += 1) {
    const weight = weights?.[row] ?? 1;
    positives += weight * (labels[row] as number);
    total += weight;
  }
  const positiveTarget = (positives + 1) / (positives + 2);
  const negativeTarget = 1 / (total - positives + 2);
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
      const weight = weights?.[row] ?? 1;
      const probability = sigmoid(slope * score + intercept);
      const residual = weight * (probability - (labels[row] === 1 ? positiveTarget : negativeTarget));
      const curvature = weight * probability * (1 - probability);
      g1 += residual * score;
      g2 += residual;
      h11 += curvature * score * score;
      h12 += curvature * score;
      h22 += curvature;
    }
    const determinant = h11 * h22 - h12 * h12;
    if (!(determinant > 0)) break;
    const slopeStep = (h22 * g1 - h12 * g2) / determinant;
    const interceptStep = (h11 * g2 - h12 * g1) / determinant;
    slope -= slopeStep;
    intercept -= interceptStep;
    if (Math.abs(slopeStep) + Math.abs(interceptStep) < 1e-10) break;
  }
  if (!Number.isFinite(slope + intercept) || slope <= 0) return undefined;
  return { method: "platt", slope, intercept };
}
