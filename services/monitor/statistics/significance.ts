import { normalTail } from "./specialFunctions.ts";

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

/**
 * p-value of "at least k of these n windows differ": that the k-th smallest of n independent p-values is as small as it is, a tail of the
 * binomial distribution (Wilkinson, A statistical consideration in psychological research, 1951). One window alone, however far off, does not
 * make it small when k is 2.
 */
export function heldP(pValues: readonly number[], k: number): number {
  const n = pValues.length;
  if (n < k) return 1;
  const p = pValues.toSorted((a, b) => a - b)[k - 1] as number;
  let tail = 0;
  for (let hits = k; hits <= n; hits += 1) tail += chooseOf(n, hits) * p ** hits * (1 - p) ** (n - hits);
  return Math.min(tail, 1);
}

function chooseOf(n: number, k: number): number {
  let result = 1;
  for (let index = 1; index <= k; index += 1) result *= (n - k + index) / index;
  return result;
}
