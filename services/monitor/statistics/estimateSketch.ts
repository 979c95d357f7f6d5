/** Predictions are kept in so many bins of equal width; the expected AUC is calculated from them. */
const BINS = 200;
/** A probability of exactly 0 or 1 promises no loss at all. */
const CLOSEST = 1e-15;

const ROW = { count: 0, accuracy: 1, accuracyVariance: 2, logLoss: 3, logLossVariance: 4 } as const;
const HEAD = 5;
/** Two-sided, 95 %. */
const NORMAL_QUANTILE = 1.959963984540054;

/** What to expect, and the range in which the truth will lie in 95 of 100 windows if the model is calibrated. */
export interface Estimate {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/**
 * Performance before there is truth: if a model is calibrated, a prediction of p is right to be followed in p of the cases, and expected figures
 * follow from the predictions alone: confidence-based performance estimation (CBPE; NannyML; Białek et al., Estimating Model Performance Under
 * Covariate Shift Without Labels, 2024). Blind to a changed relation between inputs and label: that is what truth is for.
 *
 * Sums only: the size does not depend on how many there are. Accuracy and log loss are exact; AUC counts pairs in one bin as ties.
 */
export class EstimateSketch {
  static readonly length = HEAD + 2 * BINS;
  /** Head, then per bin: predictions, sum of probabilities. */
  readonly #sums: Float64Array;

  /** @param sums of this length; taken, not copied */
  constructor(sums: Float64Array = new Float64Array(EstimateSketch.length)) {
    this.#sums = sums;
  }

  add(probability: number): void {
    const p = Math.min(Math.max(probability, CLOSEST), 1 - CLOSEST);
    const logOdds = Math.log(p) - Math.log1p(-p);
    this.#change(ROW.count, 1);
    this.#change(ROW.accuracy, Math.max(p, 1 - p));
    this.#change(ROW.accuracyVariance, p * (1 - p));
    this.#change(ROW.logLoss, -p * Math.log(p) - (1 - p) * Math.log1p(-p));
    this.#change(ROW.logLossVariance, p * (1 - p) * logOdds * logOdds);
    const bin = HEAD + 2 * Math.min(Math.floor(p * BINS), BINS - 1);
    this.#change(bin, 1);
    this.#change(bin + 1, p);
  }

  get count(): number {
    return this.#at(ROW.count);
  }

  /** Share of right answers at the threshold 0.5. */
  get accuracy(): Estimate {
    return this.#mean(ROW.accuracy, ROW.accuracyVariance);
  }

  get logLoss(): Estimate {
    return this.#mean(ROW.logLoss, ROW.logLossVariance);
  }

  /** Every prediction is p positives and 1 - p negatives. The error is that of Hanley and McNeil, 1982, for so many of each. */
  get auc(): Estimate {
    let [positives, negatives, pairs] = [0, 0, 0];
    for (let bin = 0; bin < BINS; bin += 1) {
      const here = this.#at(HEAD + 2 * bin + 1);
      const not = this.#at(HEAD + 2 * bin) - here;
      pairs += here * (negatives + not / 2);
      positives += here;
      negatives += not;
    }
    if (positives <= 0 || negatives <= 0) return { value: Number.NaN, low: Number.NaN, high: Number.NaN };
    const value = pairs / (positives * negatives);
    const both = value / (2 - value) - value * value;
    const against = (2 * value * value) / (1 + value) - value * value;
    const variance =
      (value * (1 - value) + Math.max(positives - 1, 0) * both + Math.max(negatives - 1, 0) * against) /
      (positives * negatives);
    return around(value, variance);
  }

  #mean(row: number, varianceRow: number): Estimate {
    return around(this.#at(row) / this.count, this.#at(varianceRow) / this.count ** 2);
  }

  #at(index: number): number {
    return this.#sums[index] as number;
  }

  #change(index: number, by: number): void {
    this.#sums[index] = this.#at(index) + by;
  }
}

function around(value: number, variance: number): Estimate {
  const width = NORMAL_QUANTILE * Math.sqrt(Math.max(variance, 0));
  return { value, low: value - width, high: value + width };
}
