/** A share of nothing would make PSI infinite; a bin that is empty counts as this share, as is usual. */
const SMALLEST_SHARE = 1e-4;

/**
 * Population stability index of counts against reference shares: sum of (p - q) ln(p / q) over the bins (Siddiqi, Credit Risk
 * Scorecards, 2006, ch. 10; the symmetric Kullback-Leibler divergence). By custom 0.1 is a small shift, 0.25 a large one.
 */
export function populationStability(counts: Readonly<Float64Array>, reference: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return 0;
  let psi = 0;
  for (let bin = 0; bin < reference.length; bin += 1) {
    const p = Math.max((counts[bin] ?? 0) / total, SMALLEST_SHARE);
    const q = Math.max(reference[bin] as number, SMALLEST_SHARE);
    psi += (p - q) * Math.log(p / q);
  }
  return psi;
}
