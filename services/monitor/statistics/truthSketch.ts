import type { Observation } from "./windowVariation.ts";

/** Predictions are kept in so many bins of equal width; AUC and calibration are calculated from them. */
const BINS = 200;
/** Calibration is judged in so many of equal width (Naeini et al., Obtaining Well Calibrated Probabilities, 2015). */
const CALIBRATION_BINS = 20;
/** A probability of exactly 0 or 1 that is wrong would cost infinitely much. */
const CLOSEST = 1e-15;

/** A probability this close to 0 or 1 is confident; a whole number of bins. */
const CONFIDENT = 0.1;

const ROW = { count: 0, logLoss: 1, squares: 2, expected: 3, excessSquared: 4, distances: 5 } as const;
const HEAD = 6;

/**
 * Predictions with their truth, as sums: the size does not depend on how many there are, and what was added can be taken out
 * again. Log loss, Brier score, RMSE and MAE are exact. AUC counts pairs in one bin as ties, so it is off by at most half the share of
 * positive-negative pairs that fall into one bin.
 */
export class TruthSketch {
  static readonly length = HEAD + 3 * BINS;
  /** Head, then per bin: positives, negatives, sum of probabilities. */
  readonly #sums: Float64Array;

  /** @param sums of this length; taken, not copied */
  constructor(sums: Float64Array = new Float64Array(TruthSketch.length)) {
    this.#sums = sums;
  }

  /** Adds a prediction (weight 1) or takes it out (weight -1). */
  add(probability: number, label: number, weight = 1): void {
    const p = Math.min(Math.max(probability, CLOSEST), 1 - CLOSEST);
    const loss = label > 0.5 ? -Math.log(p) : -Math.log1p(-p);
    const expected = -p * Math.log(p) - (1 - p) * Math.log1p(-p);
    this.#change(ROW.count, weight);
    this.#change(ROW.logLoss, weight * loss);
    this.#change(ROW.squares, weight * (probability - label) ** 2);
    this.#change(ROW.distances, weight * Math.abs(probability - label));
    this.#change(ROW.expected, weight * expected);
    this.#change(ROW.excessSquared, weight * (loss - expected) ** 2);
    const bin = HEAD + 3 * Math.min(Math.floor(probability * BINS), BINS - 1);
    this.#change(label > 0.5 ? bin : bin + 1, weight);
    this.#change(bin + 2, weight * probability);
  }

  /** Adds a number's distance from its truth: RMSE and MAE are of these. */
  addError(error: number, weight = 1): void {
    this.#change(ROW.count, weight);
    this.#change(ROW.squares, weight * error ** 2);
    this.#change(ROW.distances, weight * Math.abs(error));
  }

  /** Adds one of several classes, by the probability that the true one was given: log loss and accuracy are of these. */
  addClass(labelProbability: number, right: boolean, weight = 1): void {
    this.#change(ROW.count, weight);
    this.#change(ROW.logLoss, -weight * Math.log(Math.max(labelProbability, CLOSEST)));
    this.#change(ROW.distances, right ? 0 : weight);
  }

  get count(): number {
    return this.#at(ROW.count);
  }

  get logLoss(): number {
    return this.#at(ROW.logLoss) / this.count;
  }

  /** Mean squared difference between probability and label (Brier, 1950). */
  get brier(): number {
    return this.#at(ROW.squares) / this.count;
  }

  /** Root of the mean squared difference. */
  get rmse(): number {
    return Math.sqrt(this.brier);
  }

  /** Mean absolute difference. */
  get mae(): number {
    return this.#at(ROW.distances) / this.count;
  }

  /** Share of the right ones among those that `addClass` added. */
  get accuracy(): number {
    return 1 - this.mae;
  }

  /** Share of the predictions below 0.1 that came true, and of at least 0.9 that did not, among all. */
  get confidentMistakes(): number {
    const confident = Math.round(CONFIDENT * BINS);
    let mistakes = 0;
    for (let bin = 0; bin < confident; bin += 1) {
      mistakes += this.#at(HEAD + 3 * bin) + this.#at(HEAD + 3 * (BINS - 1 - bin) + 1);
    }
    return mistakes / this.count;
  }

  /** The log loss that the predictions themselves promise: their mean entropy. Equal to the log loss if they are calibrated. */
  get expectedLogLoss(): number {
    return this.#at(ROW.expected) / this.count;
  }

  /** By how much the log loss is above what the predictions promise, and the variance that chance gives this difference. */
  get excess(): Observation {
    const value = this.logLoss - this.expectedLogLoss;
    const ofRows = Math.max(this.#at(ROW.excessSquared) / this.count - value * value, 0);
    return { value, variance: ofRows / this.count };
  }

  /** Area under the ROC curve: the share of positive-negative pairs in the right order (Mann-Whitney); NaN with one class only. */
  get auc(): number {
    let [positives, negatives, pairs] = [0, 0, 0];
    for (let bin = 0; bin < BINS; bin += 1) {
      const [here, not] = [this.#at(HEAD + 3 * bin), this.#at(HEAD + 3 * bin + 1)];
      pairs += here * (negatives + not / 2);
      positives += here;
      negatives += not;
    }
    return positives > 0 && negatives > 0 ? pairs / (positives * negatives) : Number.NaN;
  }

  /** Expected calibration error: mean distance of the share of positives from the mean probability, over bins, by their size. */
  get calibrationError(): number {
    const perGroup = BINS / CALIBRATION_BINS;
    let error = 0;
    for (let group = 0; group < CALIBRATION_BINS; group += 1) {
      let [positives, probabilities] = [0, 0];
      for (let bin = group * perGroup; bin < (group + 1) * perGroup; bin += 1) {
        positives += this.#at(HEAD + 3 * bin);
        probabilities += this.#at(HEAD + 3 * bin + 2);
      }
      error += Math.abs(positives - probabilities);
    }
    return error / this.count;
  }

  #at(index: number): number {
    return this.#sums[index] as number;
  }

  #change(index: number, by: number): void {
    this.#sums[index] = this.#at(index) + by;
  }
}
