import { sigmoid } from "../logOdds.ts";
import { fitIsotonic, type IsotonicCalibration, isotonicProbability } from "./isotonic.ts";
import { fitPlatt, type PlattCalibration } from "./platt.ts";

/** How a score in log odds becomes a probability; `none` is the plain sigmoid. */
export type Calibration = { readonly method: "none" } | PlattCalibration | IsotonicCalibration;

/** Leaves scores as they are. */
export const UNCALIBRATED: Calibration = { method: "none" };

/** Scores of the rows that only the calibration sees, with what happened. All of the same length. */
export interface CalibrationRows {
  /** In log odds. */
  readonly scores: Float64Array;
  /** 0 or 1. */
  readonly labels: Float64Array;
  /** Absent means 1. */
  readonly weights?: Float64Array | undefined;
}

/** A slice shorter than this says too little. */
const MIN_ROWS = 100;
/** Below this, isotonic regression does worse than Platt scaling (Niculescu-Mizil and Caruana, 2005, section 4). */
const MIN_ISOTONIC_ROWS = 2_000;

/**
 * Chooses among leaving scores alone, Platt scaling and isotonic regression: each is fitted on the first half of the slice
 * and judged by log loss on the second; the best is fitted again on all of it. Ties go to the simpler one.
 *
 * @param rows in order of time
 */
export function fitCalibration(rows: CalibrationRows): Calibration {
  const count = rows.scores.length;
  if (count < MIN_ROWS) return UNCALIBRATED;
  const half = Math.floor(count / 2);
  const fitting = part(rows, 0, half);
  const judging = part(rows, half, count);
  const methods = [fitPlatt, ...(count < MIN_ISOTONIC_ROWS ? [] : [fitIsotonic])];
  let best: (rows: CalibrationRows) => Calibration | undefined = () => UNCALIBRATED;
  let bestLoss = lossOf(UNCALIBRATED, judging);
  for (const fit of methods) {
    const trial = fit(fitting);
    const loss = trial === undefined ? Infinity : lossOf(trial, judging);
    if (loss < bestLoss) [best, bestLoss] = [fit, loss];
  }
  return best(rows) ?? UNCALIBRATED;
}

/** The probability of every score. */
export function calibrated(scores: Float64Array, calibration: Calibration): Float64Array {
  switch (calibration.method) {
    case "none":
      return scores.map(sigmoid);
    case "platt": {
      const { slope, intercept } = calibration;
      return scores.map((score) => sigmoid(slope * score + intercept));
    }
    case "isotonic":
      return scores.map((score) => isotonicProbability(calibration, score));
  }
}

function part({ scores, labels, weights }: CalibrationRows, begin: number, end: number): CalibrationRows {
  return {
    scores: scores.subarray(begin, end),
    labels: labels.subarray(begin, end),
    weights: weights?.subarray(begin, end),
  };
}

function lossOf(calibration: Calibration, { scores, labels, weights }: CalibrationRows): number {
  const probabilities = calibrated(scores, calibration);
  let sum = 0;
  let total = 0;
  for (let row = 0; row < labels.length; row += 1) {
    const probability = probabilities[row] as number;
    const weight = weights?.[row] ?? 1;
    sum -= weight * Math.log(Math.max(labels[row] === 1 ? probability : 1 - probability, Number.MIN_VALUE));
    total += weight;
  }
  return sum / total;
}
