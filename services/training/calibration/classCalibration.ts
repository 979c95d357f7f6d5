import { logSumExp, type Scores } from "../gbdt/objective.ts";
import { type Evaluated, minimise } from "../linear/minimise.ts";

/** How scores of several classes become probabilities: softmax of slope * score + intercept, a slope and an intercept for each class. */
export interface ClassCalibration {
  readonly method: "none" | "temperature" | "per_class";
  readonly slopes: readonly number[];
  readonly intercepts: readonly number[];
}

export interface ClassCalibrationRows {
  readonly scores: Scores;
  /** Indexes of classes. */
  readonly labels: Float64Array;
  readonly weights?: Float64Array | undefined;
}

/** A slice shorter than this says too little. */
const MIN_ROWS = 100;
/** For each class, to fit it on its own. */
const MIN_ROWS_PER_CLASS = 100;
const MAX_ITERATIONS = 100;

const repeated = (value: number, count: number): number[] => Array.from({ length: count }, () => value);

/** Leaves scores as they are. */
export const uncalibrated = (classes: number): ClassCalibration => ({
  method: "none",
  slopes: repeated(1, classes),
  intercepts: repeated(0, classes),
});

/**
 * Chooses among leaving scores alone, one temperature for all, and a slope and an intercept for each class (temperature and vector
 * scaling; Guo et al., 2017): each is fitted on the first half of the slice and judged by log loss on the second; the best is fitted
 * again on all of it. Ties go to the simpler one.
 *
 * @param rows in order of time
 */
export function fitClassCalibration(rows: ClassCalibrationRows): ClassCalibration {
  const count = rows.labels.length;
  const classes = rows.scores.length;
  const none = uncalibrated(classes);
  if (count < MIN_ROWS) return none;
  const half = Math.floor(count / 2);
  const [fitting, judging] = [part(rows, 0, half), part(rows, half, count)];
  const methods = [fitTemperature, ...(count < MIN_ROWS_PER_CLASS * classes ? [] : [fitPerClass])];
  let best: (of: ClassCalibrationRows) => ClassCalibration | undefined = () => none;
  let bestLoss = lossOf(none, judging);
  for (const fit of methods) {
    const trial = fit(fitting);
    const loss = trial === undefined ? Infinity : lossOf(trial, judging);
    if (loss < bestLoss) [best, bestLoss] = [fit, loss];
  }
  return best(rows) ?? none;
}

/** The probability of every class, one array for each. */
export function classProbabilities(scores: Scores, calibration: ClassCalibration): Float64Array[] {
  const scaled = scaledScores(scores, calibration);
  const sums = logSumExp(scaled);
  return scaled.map((own) => own.map((score, row) => Math.exp(score - (sums[row] as number))));
}

function scaledScores(scores: Scores, { slopes, intercepts }: ClassCalibration): Float64Array[] {
  return scores.map((own, label) => {
    const [slope, intercept] = [slopes[label] as number, intercepts[label] as number];
    return own.map((score) => slope * score + intercept);
  });
}

/** One slope, the inverse temperature, for all classes. Nothing where it would turn the order of the classes round. */
function fitTemperature(rows: ClassCalibrationRows): ClassCalibration | undefined {
  const classes = rows.scores.length;
  const at = ([slope = 1]: Float64Array): ClassCalibration => ({
    ...uncalibrated(classes),
    method: "temperature",
    slopes: repeated(Math.fround(slope), classes),
  });
  const fitted = minimise(
    (place) => {
      const { value, slopes } = lossAndGradient(rows, at(place));
      return { value, gradient: Float64Array.of(slopes.reduce((sum, slope) => sum + slope, 0)) };
    },
    Float64Array.of(1),
    { maxIterations: MAX_ITERATIONS },
  );
  return (fitted[0] as number) > 0 ? at(fitted) : undefined;
}

function fitPerClass(rows: ClassCalibrationRows): ClassCalibration | undefined {
  const classes = rows.scores.length;
  const at = (place: Float64Array): ClassCalibration => ({
    method: "per_class",
    slopes: Array.from(place.subarray(0, classes), Math.fround),
    intercepts: Array.from(place.subarray(classes), Math.fround),
  });
  const evaluate = (place: Float64Array): Evaluated => {
    const { value, slopes, intercepts } = lossAndGradient(rows, at(place));
    return { value, gradient: Float64Array.of(...slopes, ...intercepts) };
  };
  const start = new Float64Array(2 * classes).fill(1, 0, classes);
  const fitted = at(minimise(evaluate, start, { maxIterations: MAX_ITERATIONS, tolerance: 1e-6 }));
  return fitted.slopes.every((slope) => slope > 0) ? fitted : undefined;
}

/** Mean log loss, and its derivatives in each class's slope and intercept. */
function lossAndGradient(
  { scores, labels, weights }: ClassCalibrationRows,
  calibration: ClassCalibration,
): { value: number; slopes: Float64Array; intercepts: Float64Array } {
  const scaled = scaledScores(scores, calibration);
  const sums = logSumExp(scaled);
  const total = weights?.reduce((sum, weight) => sum + weight, 0) ?? labels.length;
  const slopes = new Float64Array(scores.length);
  const intercepts = new Float64Array(scores.length);
  let value = 0;
  for (const [label, own] of scaled.entries()) {
    let ofSlope = 0;
    let ofIntercept = 0;
    for (let row = 0; row < labels.length; row += 1) {
      const weight = (weights?.[row] ?? 1) / total;
      const isTrue = labels[row] === label;
      const distance = (own[row] as number) - (sums[row] as number);
      const residual = weight * (Math.exp(distance) - (isTrue ? 1 : 0));
      if (isTrue) value -= weight * distance;
      ofSlope += residual * (scores[label]?.[row] as number);
      ofIntercept += residual;
    }
    slopes[label] = ofSlope;
    intercepts[label] = ofIntercept;
  }
  return { value, slopes, intercepts };
}

const lossOf = (calibration: ClassCalibration, rows: ClassCalibrationRows): number =>
  lossAndGradient(rows, calibration).value;

const part = ({ scores, labels, weights }: ClassCalibrationRows, begin: number, end: number): ClassCalibrationRows => ({
  scores: scores.map((own) => own.subarray(begin, end)),
  labels: labels.subarray(begin, end),
  weights: weights?.subarray(begin, end),
});
