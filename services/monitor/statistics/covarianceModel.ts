import type { RootShares } from "./windowVariation.ts";

/** Keeps what is exactly constant from dividing by zero. */
const SMALLEST_VARIANCE = 1e-10;

/**
 * Mean and covariance of windows' root shares, from fewer windows than would do for each covariance alone: correlations are shrunk towards none
 * by as much as they are uncertain (Schäfer and Strimmer, A Shrinkage Approach to Large-Scale Covariance Matrix Estimation, 2005).
 */
export class CovarianceModel {
  readonly #mean: Float64Array;
  /** Row by row; the variances without what chance gave them. */
  readonly #covariance: Float64Array;
  readonly #windows: number;

  constructor(windows: readonly RootShares[]) {
    const size = (windows[0] as RootShares).roots.length;
    const n = windows.length;
    this.#windows = n;
    this.#mean = new Float64Array(size);
    for (const { roots } of windows) roots.forEach((root, bin) => add(this.#mean, bin, root / n));
    const centred = windows.map(({ roots }) => roots.map((root, bin) => root - (this.#mean[bin] as number)));
    this.#covariance = new Float64Array(size * size);
    for (const row of centred) {
      for (let a = 0; a < size; a += 1)
        for (let b = 0; b < size; b += 1)
          add(this.#covariance, a * size + b, ((row[a] as number) * (row[b] as number)) / (n - 1));
    }
    const kept = 1 - shrinkage(centred, this.#covariance);
    const chance = windows.reduce((sum, { rows }) => sum + 1 / (4 * rows), 0) / n;
    for (let a = 0; a < size; a += 1) {
      for (let b = 0; b < size; b += 1) {
        const at = a * size + b;
        const value = this.#covariance[at] as number;
        this.#covariance[at] = a === b ? Math.max(value - chance, 0) : value * kept;
      }
    }
  }

  /** Mahalanobis' distance of a window from the mean, squared; chance in its own rows counts as variance, too. At least a tiny number. */
  distance({ roots, rows }: RootShares): number {
    const size = roots.length;
    const lower = new Float64Array(size * size);
    const solved = new Float64Array(size);
    let distance = 0;
    // Cholesky's decomposition and forward substitution in one go.
    for (let a = 0; a < size; a += 1) {
      for (let b = 0; b <= a; b += 1) {
        let value = (this.#covariance[a * size + b] as number) + (a === b ? 1 / (4 * rows) : 0);
        for (let k = 0; k < b; k += 1) value -= (lower[a * size + k] as number) * (lower[b * size + k] as number);
        lower[a * size + b] =
          a === b ? Math.sqrt(Math.max(value, SMALLEST_VARIANCE)) : value / (lower[b * size + b] as number);
      }
      let rest = (roots[a] as number) - (this.#mean[a] as number);
      for (let k = 0; k < a; k += 1) rest -= (lower[a * size + k] as number) * (solved[k] as number);
      solved[a] = rest / (lower[a * size + a] as number);
      distance += (solved[a] as number) ** 2;
    }
    return Math.max(distance / (1 + 1 / this.#windows), SMALLEST_VARIANCE);
  }
}

/** How far correlations are to be shrunk, 0 to 1: the sum of their estimates' variances over the sum of their squares. */
function shrinkage(centred: readonly Float64Array[], covariance: Float64Array): number {
  const n = centred.length;
  const size = (centred[0] as Float64Array).length;
  let [uncertain, squares] = [0, 0];
  for (let a = 0; a < size; a += 1) {
    for (let b = 0; b < a; b += 1) {
      const scale = Math.sqrt((covariance[a * size + a] as number) * (covariance[b * size + b] as number));
      if (scale === 0) continue;
      const products = centred.map((row) => ((row[a] as number) * (row[b] as number)) / scale);
      const mean = products.reduce((sum, product) => sum + product, 0) / n;
      uncertain += (n / (n - 1) ** 3) * products.reduce((sum, product) => sum + (product - mean) ** 2, 0);
      squares += ((covariance[a * size + b] as number) / scale) ** 2;
    }
  }
  return squares === 0 ? 1 : Math.min(uncertain / squares, 1);
}

function add(values: Float64Array, index: number, by: number): void {
  values[index] = (values[index] as number) + by;
}
