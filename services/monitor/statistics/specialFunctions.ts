/** ln Γ(x) for x > 0, Lanczos' approximation with g = 7, n = 9; relative error below 1e-14. */
export function logGamma(x: number): number {
  const z = x - 1;
  let sum = LANCZOS[0] as number;
  for (let index = 1; index < LANCZOS.length; index += 1) sum += (LANCZOS[index] as number) / (z + index);
  const t = z + 7.5;
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(sum);
}

const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

const PRECISION = 1e-15;
const MAX_STEPS = 10_000;

/** The regularised upper incomplete gamma function Q(a, x): its series for small x, else its continued fraction (DLMF 8.11.4, 8.9.2). */
export function upperGamma(a: number, x: number): number {
  if (x <= 0) return 1;
  const scale = Math.exp(-x + a * Math.log(x) - logGamma(a));
  return x < a + 1 ? 1 - scale * lowerSeries(a, x) : scale * upperFraction(a, x);
}

function lowerSeries(a: number, x: number): number {
  let term = 1 / a;
  let sum = term;
  for (let n = 1; n < MAX_STEPS && Math.abs(term) > Math.abs(sum) * PRECISION; n += 1) {
    term *= x / (a + n);
    sum += term;
  }
  return sum;
}

/** Lentz's method. */
function upperFraction(a: number, x: number): number {
  const tiny = 1e-300;
  let b = x + 1 - a;
  let c = 1 / tiny;
  let d = 1 / b;
  let result = d;
  for (let n = 1; n < MAX_STEPS; n += 1) {
    const an = -n * (n - a);
    b += 2;
    d = 1 / nonZero(an * d + b, tiny);
    c = nonZero(b + an / c, tiny);
    const factor = d * c;
    result *= factor;
    if (Math.abs(factor - 1) < PRECISION) break;
  }
  return result;
}

const nonZero = (value: number, tiny: number): number => (Math.abs(value) < tiny ? tiny : value);

/** P(X >= x) for X chi-square distributed. */
export const chiSquareTail = (x: number, degreesOfFreedom: number): number => upperGamma(degreesOfFreedom / 2, x / 2);

/** P(Z >= z) for Z normally distributed: Q(1/2, z²/2) is the two-sided tail. */
export function normalTail(z: number): number {
  const half = 0.5 * upperGamma(0.5, (z * z) / 2);
  return z >= 0 ? half : 1 - half;
}

/**
 * The regularised incomplete beta function I_x(a, b): its continued fraction by Lentz's method (Numerical Recipes, 3rd ed., 6.4.8;
 * DLMF 8.17.22).
 */
export function incompleteBeta(a: number, b: number, x: number): number {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // The fraction converges fast below the mean only; above it, the other tail does.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(b, a, 1 - x);
  const scale = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log1p(-x)) / a;
  const tiny = 1e-300;
  let c = 1;
  let d = 1 / nonZero(1 - ((a + b) * x) / (a + 1), tiny);
  let fraction = d;
  for (let m = 1; m < MAX_STEPS; m += 1) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / nonZero(1 + even * d, tiny);
    c = nonZero(1 + even / c, tiny);
    fraction *= c * d;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / nonZero(1 + odd * d, tiny);
    c = nonZero(1 + odd / c, tiny);
    const factor = c * d;
    fraction *= factor;
    if (Math.abs(factor - 1) < PRECISION) break;
  }
  return scale * fraction;
}

/** P(T >= t) for T of Student's t distribution (DLMF 8.17; Numerical Recipes, 3rd ed., 6.14.9). */
export function studentTail(t: number, degreesOfFreedom: number): number {
  const half = 0.5 * incompleteBeta(degreesOfFreedom / 2, 0.5, degreesOfFreedom / (degreesOfFreedom + t * t));
  return t >= 0 ? half : 1 - half;
}

/**
 * P(K >= x) for Kolmogorov's distribution, the limit of √n D for large n (Kolmogorov, 1933): 2 Σ (-1)^(k-1) exp(-2 k² x²), and for
 * small x its Jacobi transform, which then converges where the other does not.
 */
export function kolmogorovTail(x: number): number {
  if (x <= 0) return 1;
  if (x < 1.18) {
    const y = Math.exp((-Math.PI * Math.PI) / (8 * x * x));
    return 1 - (Math.sqrt(2 * Math.PI) / x) * (y + y ** 9 + y ** 25 + y ** 49);
  }
  const y = Math.exp(-2 * x * x);
  return 2 * (y - y ** 4 + y ** 9 - y ** 16);
}
