/**
 * Sums of doubles kept as an unevaluated pair (high, low), "double-double" (Dekker, A Floating-Point Technique for Extending
 * the Available Precision, 1971; Knuth, TAOCP 2, 4.2.2). About 106 significant bits.
 *
 * While the sum of the absolute values stays below 2^48 times the smallest absolute value that is not zero, every addition here is
 * exact, so the result does not depend on the order of the values. Beyond that the relative error stays below 2^-100.
 *
 * A pair lives at `pair[at]` and `pair[at + 1]`.
 */
export type Pair = number[] | Float64Array;

/** pair += (high, low). */
export function addPair(pair: Pair, at: number, high: number, low: number): void {
  const first = pair[at] as number;
  const sum = first + high;
  const rounded = sum - first;
  const error = first - (sum - rounded) + (high - rounded) + ((pair[at + 1] as number) + low);
  const result = sum + error;
  pair[at] = result;
  pair[at + 1] = error - (result - sum);
}

/** 2^27 + 1: cuts a double into two halves of 26 bits. */
const SPLITTER = 134_217_729;

/** The exact product of two doubles as (product, error); magnitudes above 2^996 overflow. */
export function multiply(left: number, right: number): readonly [number, number] {
  const product = left * right;
  const leftBig = SPLITTER * left;
  const leftHigh = leftBig - (leftBig - left);
  const leftLow = left - leftHigh;
  const rightBig = SPLITTER * right;
  const rightHigh = rightBig - (rightBig - right);
  const rightLow = right - rightHigh;
  const error = leftLow * rightLow - (product - leftHigh * rightHigh - leftLow * rightHigh - leftHigh * rightLow);
  return [product, error];
}
