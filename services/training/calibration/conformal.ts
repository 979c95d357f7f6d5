import { MillraceError } from "@millrace/runtime";

/** Of an app that does not say. */
export const DEFAULT_COVERAGE = 0.9;

/** Where the interval's ends lie from the value. */
export interface IntervalOffsets {
  readonly below: number;
  readonly above: number;
}

/**
 * Split-conformal intervals (Lei et al., 2018): of n residuals that the model has not seen, the (n + 1) * (1 - coverage) / 2 smallest and
 * as many of the largest lie outside, so that the next truth lies inside with at least the coverage, whatever the model, as long as
 * truths keep their distribution. Each end has its own half of what may lie outside, for residuals need not be symmetric.
 *
 * @param residuals truth minus value
 * @throws `failed_precondition` when there are too few of them for the coverage
 */
export function intervalOffsets(residuals: Float64Array, coverage: number): IntervalOffsets {
  const outside = tolerated(residuals.length, (1 - coverage) / 2);
  if (outside < 1) {
    const needed = Math.ceil(2 / (1 - coverage) - 1e-9) - 1;
    const advice = `it needs ${needed}: wait for more labels, or ask for less (model.coverage)`;
    throw new MillraceError(
      "failed_precondition",
      `An interval that holds ${percent(coverage)} of all truths cannot be told from ${residuals.length} calibration rows; ${advice}`,
    );
  }
  const sorted = residuals.toSorted();
  return {
    below: Math.fround(sorted[outside - 1] as number),
    above: Math.fround(sorted[sorted.length - outside] as number),
  };
}

/**
 * The least probability of a class in a split-conformal set (Sadinle, Lei and Wasserman, 2019): sets hold the true class with at least
 * the coverage. 0 where too few rows are known: then every class is in.
 *
 * @param ofTruth the probability that each row's true class was given
 */
export function setThreshold(ofTruth: Float64Array, coverage: number): number {
  const outside = tolerated(ofTruth.length, 1 - coverage);
  return outside < 1 ? 0 : floatBelow(ofTruth.toSorted()[outside - 1] as number);
}

/** Classes with at least the threshold, and always the most probable one: an empty set would say nothing. */
export function predictionSets(probabilities: readonly Float64Array[], threshold: number): Uint8Array[] {
  const rows = probabilities[0]?.length ?? 0;
  const sets = probabilities.map(() => new Uint8Array(rows));
  for (let row = 0; row < rows; row += 1) {
    let largest = 0;
    for (const own of probabilities) largest = Math.max(largest, own[row] as number);
    const least = Math.min(threshold, largest);
    for (const [label, own] of probabilities.entries()) {
      if ((own[row] as number) >= least) (sets[label] as Uint8Array)[row] = 1;
    }
  }
  return sets;
}

/** How many of n rows may lie outside. A little more than an integer is meant as that integer: 0.1 * 20 is not exact. */
const tolerated = (rows: number, share: number): number => Math.floor((rows + 1) * share + 1e-9);

/** The largest float32 number that is not above the value: the model file's threshold must not leave out what this one lets in. */
function floatBelow(value: number): number {
  const rounded = Math.fround(value);
  return rounded <= value ? rounded : Math.fround(value - Math.abs(value) * 1e-7);
}

const percent = (share: number): string => `${Math.round(share * 1_000) / 10} %`;
