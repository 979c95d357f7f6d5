import type { Weights } from "./binnedDistances.ts";
import { CovarianceModel } from "./covarianceModel.ts";
import { studentTail } from "./specialFunctions.ts";

/** Rows of one window by the bins that they are in, and those in which the value is missing. */
export interface WindowCounts {
  readonly counts: Weights;
  readonly missing: number;
}

/** From fewer windows nobody can tell how much windows differ: each has to be compared with two others, at least. */
const FEWEST_WINDOWS = 3;
/** From fewer values nobody can tell how much values differ. From two, Student's tail says how little is known. */
const FEWEST_VALUES = 2;

/**
 * How much windows of the reference differ among themselves. The rows of one window move together (a day of storms, a campaign), so a window
 * is one observation, not thousands: a test that counts rows calls every week a drift (Kish, Survey Sampling, 1965, names the ratio of the two
 * variances the design effect; Rao and Scott, On Chi-Squared Tests for Multiway Contingency Tables, 1984, correct Pearson's test by it).
 */
export class WindowVariation {
  readonly #model: CovarianceModel;
  readonly #missing: readonly Observation[];
  /** Of the logarithms of the windows' distances, each from the others. */
  readonly #mean: number;
  readonly #deviation: number;

  private constructor(windows: readonly WindowCounts[]) {
    const shares = windows.map(({ counts }) => rootShares(counts));
    this.#model = new CovarianceModel(shares);
    this.#missing = windows.map(missingShare);
    const apart = shares.map((window, index) =>
      Math.log(new CovarianceModel(shares.toSpliced(index, 1)).distance(window)),
    );
    // Windows more alike than chance allows are luck: chance alone gives a chi-square of so many degrees of freedom.
    const freedom = Math.max((windows[0] as WindowCounts).counts.length - 1, 1);
    const { mean, variance } = momentsOf(apart);
    this.#mean = Math.max(mean, Math.log(freedom) - 1 / freedom);
    this.#deviation = Math.sqrt(Math.max(variance, 2 / freedom));
  }

  /** Undefined when there are too few windows with rows. */
  static of(windows: readonly WindowCounts[]): WindowVariation | undefined {
    const full = windows.filter(({ counts }) => sumOf(counts) > 0);
    return full.length < FEWEST_WINDOWS ? undefined : new WindowVariation(full);
  }

  /**
   * p-value of "this window is one more of them": its distance from their mean, in the directions and by the amounts in which they vary
   * (Mahalanobis', over roots of shares), against their own distances, each from the others. Their logarithms are taken as normal; as the mean
   * and deviation come from few, the tail is Student's.
   */
  shiftP(counts: Weights): number {
    const distance = this.#model.distance(rootShares(counts));
    const windows = this.#missing.length;
    const z = (Math.log(distance) - this.#mean) / (this.#deviation * Math.sqrt(1 + 1 / windows));
    // One degree of freedom for the mean, one because the distances were measured by the windows themselves.
    return studentTail(z, windows - 2);
  }

  /** p-value of "its values are missing no more often than in one more of them". */
  missingP(window: WindowCounts): number {
    return largerThanUsual(missingShare(window), this.#missing);
  }
}

/** A measured value, and the variance that chance alone gives it. */
export interface Observation {
  readonly value: number;
  readonly variance: number;
}

/**
 * p-value of "this is no larger than one more of the usual ones": Student's prediction interval, with the usual ones' variance beyond chance and
 * this one's own chance (a random-effects model, DerSimonian and Laird, 1986). NaN when there are too few.
 */
export function largerThanUsual({ value, variance }: Observation, usual: readonly Observation[]): number {
  const n = usual.length;
  if (n < FEWEST_VALUES) return Number.NaN;
  const { mean, variance: observed } = momentsOf(usual.map((one) => one.value));
  const chance = usual.reduce((sum, one) => sum + one.variance, 0) / n;
  const between = Math.max(observed - chance, 0);
  const error = Math.sqrt(between + variance + (between + chance) / n);
  return error > 0 ? studentTail((value - mean) / error, n - 1) : value > mean ? 0 : 1;
}

/** A share on the scale on which chance has the same variance everywhere (Anscombe, 1948). */
export function rootOfShare(count: number, rows: number): Observation {
  return { value: Math.asin(Math.sqrt(count / rows)), variance: 1 / (4 * rows) };
}

const missingShare = ({ counts, missing }: WindowCounts): Observation => rootOfShare(missing, sumOf(counts) + missing);

/** Roots of the shares of bins, whose variance by chance is 1 / (4 rows) at most, whatever the share. */
export interface RootShares {
  readonly roots: Float64Array;
  readonly rows: number;
}

function rootShares(counts: Weights): RootShares {
  const rows = sumOf(counts);
  return { roots: Float64Array.from(counts, (count) => Math.sqrt(count / rows)), rows };
}

function momentsOf(values: readonly number[]): { mean: number; variance: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { mean, variance: squares / (values.length - 1) };
}

function sumOf(values: Weights): number {
  let sum = 0;
  for (let index = 0; index < values.length; index += 1) sum += values[index] as number;
  return sum;
}
