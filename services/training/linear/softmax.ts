import { logSumExp } from "../gbdt/objective.ts";
import { classShares, type Matrix } from "../matrix.ts";
import {
  checkLinearParameters,
  type LinearModel,
  type LinearParameters,
  standardise,
  totalWeight,
} from "./linearModel.ts";
import { type Evaluated, minimise } from "./minimise.ts";

/**
 * Softmax regression (multinomial logistic regression) with an L2 penalty on the weights of standardised features, by L-BFGS.
 *
 * @param matrix labels are indexes of the classes; checked by `checkTrainable`
 * @throws `invalid_argument` for a parameter out of its range; the signal's reason when cancelled
 */
export function trainSoftmax(
  matrix: Matrix,
  classes: number,
  parameters: LinearParameters,
  signal?: AbortSignal,
): LinearModel {
  checkLinearParameters(parameters);
  const { columns, means, deviations } = standardise(matrix);
  const width = columns.length + 1;
  const start = new Float64Array(classes * width);
  for (const [label, share] of classShares(matrix, classes).entries()) start[label * width] = Math.log(share);
  const problem = { ...matrix, columns, classes, l2: parameters.l2, total: totalWeight(matrix) };
  const { maxIterations } = parameters;
  const beta = minimise((at) => penalisedLoss(problem, at), start, { maxIterations, signal });
  const of = (label: number): Float64Array => beta.subarray(label * width, (label + 1) * width);
  const labels = Array.from({ length: classes }, (_, label) => label);
  return {
    means,
    deviations,
    weights: labels.map((label) => of(label).slice(1)),
    intercepts: Float64Array.from(labels, (label) => of(label)[0] as number),
  };
}

/** Standardised rows, labels as class indexes. */
interface Problem extends Matrix {
  readonly classes: number;
  readonly l2: number;
  readonly total: number;
}

/** Mean log loss by weight, the penalty, and the gradient; of each class first the intercept, then the weights. */
function penalisedLoss({ columns, labels, weights, classes, l2, total }: Problem, beta: Float64Array): Evaluated {
  const width = columns.length + 1;
  const gradient = new Float64Array(beta.length);
  let value = 0;
  const scores = Array.from({ length: classes }, (_, label) => {
    const own = new Float64Array(labels.length).fill(beta[label * width] as number);
    for (const [feature, column] of columns.entries()) {
      const place = label * width + feature + 1;
      const factor = beta[place] as number;
      for (let row = 0; row < own.length; row += 1) own[row] = (own[row] as number) + factor * (column[row] as number);
      value += (l2 / 2) * factor * factor;
      gradient[place] = l2 * factor;
    }
    return own;
  });
  const sums = logSumExp(scores);
  for (let row = 0; row < labels.length; row += 1) {
    const weight = (weights?.[row] ?? 1) / total;
    value += weight * ((sums[row] as number) - ((scores[labels[row] as number] as Float64Array)[row] as number));
  }
  for (const [label, own] of scores.entries()) {
    let ofIntercept = 0;
    // The scores are not needed any more: residuals take their place.
    for (let row = 0; row < own.length; row += 1) {
      const weight = (weights?.[row] ?? 1) / total;
      const residual =
        weight * (Math.exp((own[row] as number) - (sums[row] as number)) - (labels[row] === label ? 1 : 0));
      own[row] = residual;
      ofIntercept += residual;
    }
    gradient[label * width] = ofIntercept;
    for (const [feature, column] of columns.entries()) {
      const place = label * width + feature + 1;
      let sum = 0;
      for (let row = 0; row < own.length; row += 1) sum += (own[row] as number) * (column[row] as number);
      gradient[place] = (gradient[place] as number) + sum;
    }
  }
  return { value, gradient };
}
