import { MillraceError } from "@millrace/runtime";
import { logit, lossOfLogOdds, sigmoid } from "./logOdds.ts";
import { baseRate, type Matrix } from "./matrix.ts";

/** score = intercept + sum over features of weight * ((value or, where missing, mean) - mean) / deviation; values are float32. */
export interface LogisticModel {
  readonly means: Float64Array;
  /** Standard deviations; 1 for a constant column. */
  readonly deviations: Float64Array;
  readonly weights: Float64Array;
  readonly intercept: number;
}

export interface LogisticParameters {
  /** L2 penalty on the weights of standardised features, per unit of row weight. */
  readonly l2: number;
  readonly maxIterations: number;
}

export const LOGISTIC_DEFAULTS: LogisticParameters = { l2: 1e-4, maxIterations: 25 };

/**
 * L2-regularised logistic regression by iteratively reweighted least squares (McCullagh and Nelder, 1989, ch. 4); a step that would
 * make the loss worse is halved until it does not.
 *
 * @param matrix checked by `checkTrainable`
 * @throws `invalid_argument` for a parameter out of its range; the signal's reason when cancelled
 */
export function trainLogistic(matrix: Matrix, parameters: LogisticParameters, signal?: AbortSignal): LogisticModel {
  checkLogisticParameters(parameters);
  const { columns, means, deviations } = standardise(matrix);
  const problem: Problem = { ...matrix, columns, penalty: parameters.l2 * totalWeight(matrix) };
  let beta = new Float64Array(columns.length + 1);
  beta[0] = logit(baseRate(matrix));
  let loss = penalisedLoss(problem, beta);
  for (let iteration = 0; iteration < parameters.maxIterations; iteration += 1) {
    signal?.throwIfAborted();
    const step = newtonStep(problem, beta);
    let share = 1;
    let next = beta.map((value, index) => value - (step[index] as number));
    let nextLoss = penalisedLoss(problem, next);
    while (!(nextLoss <= loss) && share > SMALLEST_SHARE) {
      share /= 2;
      next = beta.map((value, index) => value - share * (step[index] as number));
      nextLoss = penalisedLoss(problem, next);
    }
    if (!(nextLoss <= loss)) break;
    const change = Math.max(...step.map(Math.abs)) * share;
    [beta, loss] = [next, nextLoss];
    if (change < 1e-8) break;
  }
  return { means, deviations, weights: beta.slice(1), intercept: beta[0] as number };
}

/** Of a Newton step: less than this changes nothing any more. */
const SMALLEST_SHARE = 1 / 1_024;

/** Standardised rows and the penalty on the weights. */
interface Problem extends Matrix {
  readonly penalty: number;
}

/** Log odds per row. */
export function scoreLogistic(model: LogisticModel, columns: readonly Float64Array[]): Float64Array {
  const scores = new Float64Array(columns[0]?.length ?? 0).fill(model.intercept);
  for (const [feature, column] of columns.entries()) {
    const center = model.means[feature] as number;
    const factor = (model.weights[feature] as number) / (model.deviations[feature] as number);
    for (let row = 0; row < scores.length; row += 1) {
      const value = column[row] as number;
      if (!Number.isNaN(value)) scores[row] = (scores[row] as number) + factor * (Math.fround(value) - center);
    }
  }
  return scores;
}

function checkLogisticParameters({ l2, maxIterations }: LogisticParameters): void {
  if (!(l2 >= 0 && Number.isFinite(l2))) {
    throw new MillraceError("invalid_argument", `logistic: l2 is ${l2}; it must be a number, 0 or more`);
  }
  if (!(Number.isInteger(maxIterations) && maxIterations >= 1)) {
    const rule = "it must be a whole number, 1 or more";
    throw new MillraceError("invalid_argument", `logistic: maxIterations is ${maxIterations}; ${rule}`);
  }
}

const totalWeight = ({ labels, weights }: Matrix): number =>
  weights?.reduce((sum, weight) => sum + weight, 0) ?? labels.length;

function standardise({ columns, weights }: Matrix) {
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

/** Weighted log loss, and the penalty. */
function penalisedLoss({ columns, labels, weights, penalty }: Problem, beta: Float64Array): number {
  const scores = new Float64Array(labels.length).fill(beta[0] as number);
  let loss = 0;
  for (const [feature, column] of columns.entries()) {
    const factor = beta[feature + 1] as number;
    for (let row = 0; row < scores.length; row += 1) {
      scores[row] = (scores[row] as number) + factor * (column[row] as number);
    }
    loss += (penalty / 2) * factor * factor;
  }
  for (let row = 0; row < scores.length; row += 1) {
    loss += (weights?.[row] ?? 1) * lossOfLogOdds(labels[row] as number, scores[row] as number);
  }
  return loss;
}

function newtonStep(problem: Problem, beta: Float64Array): Float64Array {
  const { columns, labels, weights, penalty } = problem;
  const { gradient, hessian } = derivatives(columns, labels, weights, beta);
  const width = beta.length;
  for (let index = 1; index < width; index += 1) {
    gradient[index] = (gradient[index] as number) + penalty * (beta[index] as number);
    const diagonal = index * width + index;
    hessian[diagonal] = (hessian[diagonal] as number) + penalty;
  }
  return solvePositiveDefinite(hessian, gradient, width);
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
