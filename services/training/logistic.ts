import { mean } from "@millrace/metrics";
import { logit, sigmoid } from "./calibration.ts";
import { type Matrix } from "./matrix.ts";

/** score = intercept + sum over features of weight * ((value or, where missing, mean) - mean) / deviation. */
export interface LogisticModel {
  readonly means: Float64Array;
  /** Standard deviations; 1 for a constant column. */
  readonly deviations: Float64Array;
  readonly weights: Float64Array;
  readonly intercept: number;
}

export interface LogisticParameters {
  /** L2 penalty on the weights of standardised features, per row. */
  readonly l2: number;
  readonly maxIterations: number;
}

export const LOGISTIC_DEFAULTS: LogisticParameters = { l2: 1e-4, maxIterations: 25 };

/** L2-regularised logistic regression by iteratively reweighted least squares (McCullagh and Nelder, 1989, ch. 4). */
export function trainLogistic(matrix: Matrix, parameters: LogisticParameters, signal?: AbortSignal): LogisticModel {
  const { labels, weights } = matrix;
  const { columns, means, deviations } = standardise(matrix);
  const width = columns.length + 1;
  const beta = new Float64Array(width);
  beta[0] = logit(Math.min(Math.max(mean(labels), 1e-6), 1 - 1e-6));
  for (let iteration = 0; iteration < parameters.maxIterations; iteration += 1) {
    signal?.throwIfAborted();
    const { gradient, hessian } = derivatives(columns, labels, weights, beta);
    for (let index = 1; index < width; index += 1) {
      gradient[index] = (gradient[index] as number) + parameters.l2 * labels.length * (beta[index] as number);
      const diagonal = index * width + index;
      hessian[diagonal] = (hessian[diagonal] as number) + parameters.l2 * labels.length;
    }
    const step = solvePositiveDefinite(hessian, gradient, width);
    let change = 0;
    for (let index = 0; index < width; index += 1) {
      beta[index] = (beta[index] as number) - (step[index] as number);
      change = Math.max(change, Math.abs(step[index] as number));
    }
    if (change < 1e-8) break;
  }
  return { means, deviations, weights: beta.slice(1), intercept: beta[0] };
}

/** Log odds per row. */
export function scoreLogistic(model: LogisticModel, columns: readonly Float64Array[]): Float64Array {
  const scores = new Float64Array(columns[0]?.length ?? 0).fill(model.intercept);
  for (const [feature, column] of columns.entries()) {
    const center = model.means[feature] as number;
    const factor = (model.weights[feature] as number) / (model.deviations[feature] as number);
    for (let row = 0; row < scores.length; row += 1) {
      const value = column[row] as number;
      if (!Number.isNaN(value)) scores[row] = (scores[row] as number) + factor * (value - center);
    }
  }
  return scores;
}

function standardise({ columns }: Matrix) {
  const means = new Float64Array(columns.length);
  const deviations = new Float64Array(columns.length);
  const standardised = columns.map((column, feature) => {
    const known = column.filter((value) => !Number.isNaN(value));
    const center = known.length === 0 ? 0 : Math.fround(mean(known));
    const variance = known.length === 0 ? 0 : mean(known.map((value) => (value - center) ** 2));
    const deviation = variance > 0 ? Math.fround(Math.sqrt(variance)) : 1;
    means[feature] = center;
    deviations[feature] = deviation;
    return column.map((value) => (Number.isNaN(value) ? 0 : (value - center) / deviation));
  });
  return { columns: standardised, means, deviations };
}

function derivatives(
  columns: readonly Float64Array[],
  labels: Float64Array,
  weights: Float64Array | undefined,
  beta: Float64Array,
): { gradient: Float64Array; hessian: Float64Array } {
  const width = columns.length + 1;
  const gradient = new Float64Array(width);
  const hessian = new Float64Array(width * width);
  const inputs = new Float64Array(width);
  inputs[0] = 1;
  for (let row = 0; row < labels.length; row += 1) {
    let score = beta[0] as number;
    for (let index = 1; index < width; index += 1) {
      const value = (columns[index - 1] as Float64Array)[row] as number;
      inputs[index] = value;
      score += (beta[index] as number) * value;
    }
    const weight = weights?.[row] ?? 1;
    const probability = sigmoid(score);
    const residual = weight * (probability - (labels[row] as number));
    const curvature = weight * Math.max(probability * (1 - probability), 1e-9);
    for (let i = 0; i < width; i += 1) {
      const input = inputs[i] as number;
      gradient[i] = (gradient[i] as number) + residual * input;
      const scaled = curvature * input;
      for (let j = 0; j <= i; j += 1) {
        hessian[i * width + j] = (hessian[i * width + j] as number) + scaled * (inputs[j] as number);
      }
    }
  }
  return { gradient, hessian };
}

/** Solves H x = g by Cholesky's decomposition; only the lower triangle of H is read, and it is overwritten. */
function solvePositiveDefinite(hessian: Float64Array, gradient: Float64Array, width: number): Float64Array {
  const at = (row: number, column: number): number => hessian[row * width + column] as number;
  for (let column = 0; column < width; column += 1) {
    for (let row = column; row < width; row += 1) {
      let sum = at(row, column);
      for (let k = 0; k < column; k += 1) sum -= at(row, k) * at(column, k);
      hessian[row * width + column] = row === column ? Math.sqrt(Math.max(sum, 1e-12)) : sum / at(column, column);
    }
  }
  const solution = Float64Array.from(gradient);
  for (let row = 0; row < width; row += 1) {
    let sum = solution[row] as number;
    for (let k = 0; k < row; k += 1) sum -= at(row, k) * (solution[k] as number);
    solution[row] = sum / at(row, row);
  }
  for (let row = width - 1; row >= 0; row -= 1) {
    let sum = solution[row] as number;
    for (let k = row + 1; k < width; k += 1) sum -= at(k, row) * (solution[k] as number);
    solution[row] = sum / at(row, row);
  }
  return solution;
}
