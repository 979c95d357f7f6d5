/**
 * So many blocks of neighbouring rows: what is served in one hour moves together (weather, a campaign), so that rows are no independent
 * witnesses, but the means of long enough stretches nearly are. (The method of batch means, Law, Simulation Modeling and Analysis, 9.5.3.)
 */
const BLOCKS = 20;

/** Quantile 0.9875 of Student's t with 19 degrees of freedom: 5 % shared by four looks (Bonferroni), one-sided. */
const T = 2.4334;

/** Fewer rows an arm than this say nothing. */
export const MIN_ROWS = BLOCKS * 5;

/** How much larger one arm's mean loss is than the other's. */
export interface Difference {
  readonly mean: number;
  /** The mean is above `low`, and below `high`, with 98.75 % confidence each. */
  readonly low: number;
  readonly high: number;
}

/**
 * Compares the losses of two arms, each in order of time. Arms of the same rows may be given, too: the blocks are then paired.
 *
 * @returns undefined when an arm has too few rows
 */
export function differenceOf(challenger: Float64Array, champion: Float64Array): Difference | undefined {
  if (challenger.length < MIN_ROWS || champion.length < MIN_ROWS) return undefined;
  const differences = Array.from(
    { length: BLOCKS },
    (_, block) => meanOfBlock(challenger, block) - meanOfBlock(champion, block),
  );
  const mean = differences.reduce((sum, value) => sum + value, 0) / BLOCKS;
  const variance = differences.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (BLOCKS - 1);
  const margin = T * Math.sqrt(variance / BLOCKS);
  return { mean, low: mean - margin, high: mean + margin };
}

function meanOfBlock(losses: Float64Array, block: number): number {
  const from = Math.floor((block * losses.length) / BLOCKS);
  const to = Math.floor(((block + 1) * losses.length) / BLOCKS);
  let sum = 0;
  for (let row = from; row < to; row += 1) sum += losses[row] as number;
  return sum / (to - from);
}
