/** How good probabilities of the positive class are. All take labels of 0 and 1, and probabilities of the same length. */
export interface BinaryMetrics {
  readonly rows: number;
  /** Share of positive labels. */
  readonly baseRate: number;
  readonly auc: number;
  readonly logLoss: number;
  /** Log loss of predicting the base rate of these very rows. */
  readonly baseRateLogLoss: number;
  readonly brier: number;
  readonly calibrationError: number;
  /** At the threshold 0.5. */
  readonly accuracy: number;
}

/** Probabilities are kept this far from 0 and 1, so that one confident mistake costs 34.5, not infinity. */
export const EPSILON = 1e-15;

export function binaryMetrics(labels: Float64Array, probabilities: Float64Array): BinaryMetrics {
  const baseRate = mean(labels);
  return {
    rows: labels.length,
    baseRate,
    auc: areaUnderRoc(labels, probabilities),
    logLoss: logLoss(labels, probabilities),
    baseRateLogLoss: logLoss(labels, new Float64Array(labels.length).fill(baseRate)),
    brier: brierScore(labels, probabilities),
    calibrationError: expectedCalibrationError(labels, probabilities),
    accuracy: accuracy(labels, probabilities),
  };
}

/** Mean of -ln(probability given to what happened); lower is better. */
export function logLoss(labels: Float64Array, probabilities: Float64Array): number {
  let sum = 0;
  for (let row = 0; row < labels.length; row += 1) {
    const probability = Math.min(Math.max(probabilities[row] as number, EPSILON), 1 - EPSILON);
    sum -= Math.log(labels[row] === 1 ? probability : 1 - probability);
  }
  return sum / labels.length;
}

/** Mean squared difference between probability and label (Brier, 1950). */
export function brierScore(labels: Float64Array, probabilities: Float64Array): number {
  let sum = 0;
  for (let row = 0; row < labels.length; row += 1) {
    const difference = (probabilities[row] as number) - (labels[row] as number);
    sum += difference * difference;
  }
  return sum / labels.length;
}

/**
 * Area under the ROC curve: the chance that a random positive scores above a random negative, a tie counting half (the
 * Mann-Whitney U statistic over its maximum; Hanley and McNeil, 1982). NaN when a class is absent.
 */
export function areaUnderRoc(labels: Float64Array, probabilities: Float64Array): number {
  const order = rowsByProbability(probabilities);
  let positives = 0;
  let rankSum = 0;
  for (let start = 0; start < order.length; ) {
    let end = start;
    let tiedPositives = 0;
    const value = probabilities[order[start] as number];
    while (end < order.length && probabilities[order[end] as number] === value) {
      tiedPositives += labels[order[end] as number] as number;
      end += 1;
    }
    // Ties share the mean of their ranks, which begin at 1.
    rankSum += tiedPositives * ((start + 1 + end) / 2);
    positives += tiedPositives;
    start = end;
  }
  const negatives = order.length - positives;
  return (rankSum - (positives * (positives + 1)) / 2) / (positives * negatives);
}

/**
 * Expected calibration error over bins of equal mass: the mean over bins of |mean probability - share of positives|, weighted by
 * rows (Naeini et al., 2015, with quantile bins as in Nixon et al., 2019). Fewer distinct probabilities give fewer bins.
 */
export function expectedCalibrationError(labels: Float64Array, probabilities: Float64Array, bins = 15): number {
  const binOf = equalMassBins(probabilities, bins);
  const differences = new Float64Array(bins);
  for (let row = 0; row < labels.length; row += 1) {
    const bin = binOf[row] as number;
    differences[bin] = (differences[bin] as number) + (probabilities[row] as number) - (labels[row] as number);
  }
  return differences.reduce((sum, difference) => sum + Math.abs(difference), 0) / labels.length;
}

/** The bin of each row: bins of about the same number of rows, in order of the values; rows with the same value are in the same bin. */
export function equalMassBins(values: Float64Array, bins: number): Uint16Array {
  const order = rowsByProbability(values);
  const binOf = new Uint16Array(values.length);
  let start = 0;
  for (let bin = 0; bin < bins && start < order.length; bin += 1) {
    let end = Math.max(start + 1, Math.round(((bin + 1) * order.length) / bins));
    while (end < order.length && values[order[end] as number] === values[order[end - 1] as number]) end += 1;
    for (let index = start; index < end; index += 1) binOf[order[index] as number] = bin;
    start = end;
  }
  return binOf;
}

function accuracy(labels: Float64Array, probabilities: Float64Array): number {
  let right = 0;
  for (let row = 0; row < labels.length; row += 1) {
    if ((probabilities[row] as number) >= 0.5 === (labels[row] === 1)) right += 1;
  }
  return right / labels.length;
}

export function mean(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Rows in rising order. */
export function rowsByProbability(probabilities: Float64Array): Uint32Array {
  return Uint32Array.from(probabilities.keys()).sort(
    (left, right) => (probabilities[left] as number) - (probabilities[right] as number),
  );
}
