import { MillraceError } from "@millrace/runtime";
import type { Matrix } from "../matrix.ts";

/**
 * Of each output: score = intercept + sum over features of weight * ((value or, where missing, mean) - mean) / deviation. Values are
 * float32.
 */
export interface LinearModel {
  readonly means: Float64Array;
  /** Standard deviations; 1 for a constant column. */
  readonly deviations: Float64Array;
  /** One array for each output, one number for each feature. */
  readonly weights: readonly Float64Array[];
  /** One for each output. */
  readonly intercepts: Float64Array;
}

export interface LinearParameters {
  /** L2 penalty on the weights of standardised features, per unit of row weight. */
  readonly l2: number;
  /** Of models that are fitted step by step. */
  readonly maxIterations: number;
}

export const LINEAR_DEFAULTS: LinearParameters = { l2: 1e-4, maxIterations: 200 };

/** @throws `invalid_argument` naming the parameter, its range and what it was. */
export function checkLinearParameters({ l2, maxIterations }: LinearParameters): void {
  if (!(l2 >= 0 && Number.isFinite(l2))) {
    throw new MillraceError("invalid_argument", `linear model: l2 is ${l2}; it must be a number, 0 or more`);
  }
  if (!(Number.isInteger(maxIterations) && maxIterations >= 1)) {
    const rule = "it must be a whole number, 1 or more";
    throw new MillraceError("invalid_argument", `linear model: maxIterations is ${maxIterations}; ${rule}`);
  }
}

/** Scores of raw columns, one array for each output. */
export function scoreLinear(model: LinearModel, columns: readonly Float64Array[]): Float64Array[] {
  const rows = columns[0]?.length ?? 0;
  return model.weights.map((weights, output) => {
    const scores = new Float64Array(rows).fill(model.intercepts[output] as number);
    for (const [feature, column] of columns.entries()) {
      const center = model.means[feature] as number;
      const factor = (weights[feature] as number) / (model.deviations[feature] as number);
      for (let row = 0; row < rows; row += 1) {
        const value = column[row] as number;
        if (!Number.isNaN(value)) scores[row] = (scores[row] as number) + factor * (Math.fround(value) - center);
      }
    }
    return scores;
  });
}

export const totalWeight = ({ labels, weights }: Matrix): number =>
  weights?.reduce((sum, weight) => sum + weight, 0) ?? labels.length;

/** Columns of mean 0 and deviation 1, what is missing at the mean; and what made them so, float32 numbers. */
export function standardise({ columns, weights }: Matrix): Pick<LinearModel, "means" | "deviations"> & {
  columns: Float64Array[];
} {
  const means = new Float64Array(columns.length);
  const deviations = new Float64Array(columns.length);
  const standardised = columns.map((values, feature) => {
    const column = Float64Array.from(values, Math.fround);
    const center = Math.fround(knownMean(column, weights, (value) => value));
    const variance = knownMean(column, weights, (value) => (value - center) ** 2);
    const deviation = Math.fround(Math.sqrt(variance)) || 1;
    means[feature] = center;
    deviations[feature] = deviation;
    return column.map((value) => (Number.isNaN(value) ? 0 : (value - center) / deviation));
  });
  return { columns: standardised, means, deviations };
}

/** Mean of a function of the values that are not missing; 0 when all are. */
function knownMean(column: Float64Array, weights: Float64Array | undefined, of: (value: number) => number): number {
  let sum = 0;
  let total = 0;
  for (let row = 0; row < column.length; row += 1) {
    const value = column[row] as number;
    if (Number.isNaN(value)) continue;
    const weight = weights?.[row] ?? 1;
    sum += weight * of(value);
    total += weight;
  }
  return total === 0 ? 0 : sum / total;
}
