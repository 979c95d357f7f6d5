/** A weight matrix in int8: column j's weights are `values[i, j] * scales[j]`. */
export interface Int8Weights {
  /** [rows, columns], row-major. */
  readonly values: Int8Array;
  /** One per column. */
  readonly scales: Float32Array;
}

/**
 * Rounds each column to whole steps of its own: symmetric, so that 0 stays 0, and so wide that the column's largest weight is `limit`
 * steps from it.
 *
 * @param weights [rows, columns], row-major, finite
 * @param limit at most 127
 */
export function toInt8(weights: Float32Array, columns: number, limit: number): Int8Weights {
  const scales = new Float32Array(columns);
  for (const [index, weight] of weights.entries()) {
    const column = index % columns;
    scales[column] = Math.max(scales[column] as number, Math.abs(weight));
  }
  for (const [column, largest] of scales.entries()) {
    const scale = Math.fround(largest / limit);
    // A column of zeros, or all but zeros.
    scales[column] = scale > 0 ? scale : 1;
  }
  const values = new Int8Array(weights.length);
  for (const [index, weight] of weights.entries()) {
    const steps = Math.round(weight / (scales[index % columns] as number));
    values[index] = Math.max(-limit, Math.min(limit, steps));
  }
  return { values, scales };
}
