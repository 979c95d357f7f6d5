/**
 * A delay's histogram in bins whose bounds grow by a constant ratio, as in DDSketch (Masson, Rim, Lee, VLDB 2019): any quantile is told within
 * 2 % of its value, by at most 560 counts, however many labels there were. Bins add up, so that sketches of windows make those of days.
 */
const RATIO = 1.04;
/** Delays up to a second are one bin; those beyond 60 years, another. */
const FIRST_BOUND_MS = 1_000;
const LAST_BIN = 560;

/** The bin of a delay, from 0. */
export function delayBin(delayMs: number): number {
  if (delayMs <= FIRST_BOUND_MS) return 0;
  return Math.min(LAST_BIN, Math.ceil(Math.log(delayMs / FIRST_BOUND_MS) / Math.log(RATIO)));
}

/** A delay that is within 2 % of every one in the bin, in milliseconds; 0 for those up to a second. */
export function delayOfBin(bin: number): number {
  return bin === 0 ? 0 : (2 * FIRST_BOUND_MS * RATIO ** bin) / (1 + RATIO);
}

/**
 * The delay that a share of the labels did not exceed, in milliseconds; undefined without labels.
 *
 * @param counts by bin, in any order
 */
export function delayQuantile(counts: ReadonlyMap<number, number>, share: number): number | undefined {
  const bins = [...counts].sort(([a], [b]) => a - b);
  const total = bins.reduce((sum, [, count]) => sum + count, 0);
  let below = 0;
  for (const [bin, count] of bins) {
    below += count;
    if (below > 0 && below >= share * total) return delayOfBin(bin);
  }
  return undefined;
}
