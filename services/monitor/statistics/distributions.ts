import { chiSquareTail, normalTail } from "./specialFunctions.ts";

/**
 * Pearson's chi-square test that two sets of counts come from one distribution; answers the p-value. Bins that are empty in both
 * do not count. (Numerical Recipes, 3rd ed., 14.3.3, for samples of different size.)
 */
export function twoSampleChiSquare(first: Readonly<Float64Array>, second: Readonly<Float64Array>): number {
  const n = sumOf(first);
  const m = sumOf(second);
  if (n === 0 || m === 0) return 1;
  const [a, b] = [Math.sqrt(m / n), Math.sqrt(n / m)];
  let statistic = 0;
  let bins = 0;
  for (let bin = 0; bin < Math.max(first.length, second.length); bin += 1) {
    const [x, y] = [first[bin] ?? 0, second[bin] ?? 0];
    if (x + y === 0) continue;
    bins += 1;
    statistic += (a * x - b * y) ** 2 / (x + y);
  }
  return bins < 2 ? 1 : chiSquareTail(statistic, bins - 1);
}

/** p-value of the one-sided test that the first share is larger than the second, with pooled variance. */
export function largerShare(first: number, n: number, second: number, m: number): number {
  const pooled = (first + second) / (n + m);
  const error = Math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m));
  return error > 0 ? normalTail((first / n - second / m) / error) : 1;
}

/**
 * Which of several p-values are significant when the share of false ones among them may be `rate` (Benjamini and Hochberg,
 * Controlling the False Discovery Rate, 1995).
 */
export function benjaminiHochberg(pValues: readonly number[], rate: number): boolean[] {
  const ascending = pValues.toSorted((a, b) => a - b);
  let threshold = -1;
  ascending.forEach((p, index) => {
    if (p <= (rate * (index + 1)) / ascending.length) threshold = p;
  });
  return pValues.map((p) => p <= threshold);
}

function sumOf(values: Readonly<Float64Array>): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}
