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
const EPSILON = 1e-15;

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
  const order = rowsByProbability(probabilities);
  let error = 0;
  let start = 0;
  for (let bin = 0; bin < bins && start < order.length; bin += 1) {
    let end = Math.max(start + 1, Math.round(((bin + 1) * order.length) / bins));
    // Rows with the same probability belong together.
    while (end < order.length && probabilities[order[end] as number] === probabilities[order[end - 1] as number])
      end += 1;
    let probabilitySum = 0;
    let positives = 0;
    for (let index = start; index < end; index += 1) {
      probabilitySum += probabilities[order[index] as number] as number;
      positives += labels[order[index] as number] as number;
    }
    error += Math.abs(probabilitySum - positives);
    start = end;
  }
  return error / order.length;
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

function rowsByProbability(probabilities: Float64Array): Uint32Array {
  return Uint32Array.from(probabilities.keys()).sort(
    (left, right) => (probabilities[left] as number) - (probabilities[right] as number),
  );
}
