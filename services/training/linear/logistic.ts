import { logit, lossOfLogOdds, sigmoid } from "../logOdds.ts";
import { baseRate, type Matrix } from "../matrix.ts";
import {
  checkLinearParameters,
  type LinearModel,
  type LinearParameters,
  standardise,
  totalWeight,
} from "./linearModel.ts";
import { solvePositiveDefinite } from "./positiveDefinite.ts";

/**
 * L2-regularised logistic regression by iteratively reweighted least squares (McCullagh and Nelder, 1989, ch. 4); a step that would
 * make the loss worse is halved until it does not.
 *
 * @param matrix checked by `checkTrainable`
 * @throws `invalid_argument` for a parameter out of its range; the signal's reason when cancelled
 */
export function trainLogistic(matrix: Matrix, parameters: LinearParameters, signal?: AbortSignal): LinearModel {
  checkLinearParameters(parameters);
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
  return { means, deviations, weights: [beta.slice(1)], intercepts: beta.slice(0, 1) };
}

/** Of a Newton step: less than this changes nothing any more. */
const SMALLEST_SHARE = 1 / 1_024;

/** Standardised rows and the penalty on the weights. */
interface Problem extends Matrix {
  readonly penalty: number;
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
