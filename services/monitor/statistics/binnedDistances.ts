import { chiSquareTail, kolmogorovTail } from "./specialFunctions.ts";

/** Distances between two distributions of which the counts, or shares, in the same bins are known. */

/**
 * Jensen-Shannon distance, 0 (equal) to 1 (nothing in common): the square root of the divergence with logarithms to base 2 (Lin, Divergence
 * Measures Based on the Shannon Entropy, 1991; Endres and Schindelin, 2003). Of weights that need not sum to 1; NaN when one side is empty.
 */
export function jensenShannon(first: Weights, second: Weights): number {
  const n = sumOf(first);
  const m = sumOf(second);
  if (n === 0 || m === 0) return Number.NaN;
  let divergence = 0;
  for (let bin = 0; bin < first.length; bin += 1) {
    const p = (first[bin] as number) / n;
    const q = (second[bin] ?? 0) / m;
    const middle = (p + q) / 2;
    if (p > 0) divergence += p * Math.log2(p / middle);
    if (q > 0) divergence += q * Math.log2(q / middle);
  }
  return Math.sqrt(Math.max(divergence / 2, 0));
}

/**
 * The Kolmogorov-Smirnov statistic at the bins' edges: the largest difference of the two cumulative shares. It never exceeds that of the rows
 * themselves, and falls short of it by less than the larger share of one bin. Bins in order of value.
 */
export function kolmogorovSmirnov(first: Weights, second: Weights): number {
  const n = sumOf(first);
  const m = sumOf(second);
  if (n === 0 || m === 0) return Number.NaN;
  let [left, right, largest] = [0, 0, 0];
  for (let bin = 0; bin < first.length; bin += 1) {
    left += (first[bin] as number) / n;
    right += (second[bin] ?? 0) / m;
    largest = Math.max(largest, Math.abs(left - right));
  }
  return largest;
}

/** p-value of a two-sample Kolmogorov-Smirnov statistic, in the limit of many rows (Smirnov, 1939). */
export function kolmogorovSmirnovTail(statistic: number, n: number, m: number): number {
  return kolmogorovTail(statistic * Math.sqrt((n * m) / (n + m)));
}

/** Where the bins lie: their inner edges, and the range of the reference. */
export interface BinPlaces {
  readonly edges: readonly number[];
  readonly minimum: number;
  readonly maximum: number;
}

/**
 * Wasserstein distance of order 1, in units of the values: the area between the two cumulative distributions (Vallender, 1974), rows taken to
 * be spread evenly within their bin. What lies outside the reference's range is taken to lie at its border. Off by at most the sum over the bins
 * of their width times the larger share in them.
 */
export function wasserstein(first: Weights, second: Weights, { edges, minimum, maximum }: BinPlaces): number {
  const n = sumOf(first);
  const m = sumOf(second);
  if (n === 0 || m === 0) return Number.NaN;
  let [area, before] = [0, 0];
  let from = minimum;
  for (let bin = 0; bin < first.length; bin += 1) {
    const to = bin < edges.length ? (edges[bin] as number) : maximum;
    const after = before + (first[bin] as number) / n - (second[bin] ?? 0) / m;
    area += Math.max(to - from, 0) * meanDistance(before, after);
    before = after;
    from = Math.max(to, from);
  }
  return area;
}

/** Mean of |y| on a line from a to b. */
function meanDistance(a: number, b: number): number {
  if (a * b >= 0) return Math.abs(a + b) / 2;
  return (a * a + b * b) / (2 * Math.abs(a - b));
}

/**
 * Pearson's chi-square test that two sets of counts come from one distribution; answers the p-value. Bins that are empty in both
 * do not count. (Numerical Recipes, 3rd ed., 14.3.3, for samples of different size.)
 */
export function twoSampleChiSquare(first: Weights, second: Weights): number {
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

export type Weights = Readonly<ArrayLike<number>>;

function sumOf(values: Weights): number {
  let sum = 0;
  for (let index = 0; index < values.length; index += 1) sum += values[index] as number;
  return sum;
}
