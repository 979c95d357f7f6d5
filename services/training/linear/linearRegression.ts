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
 * Linear regression with an L2 penalty (ridge; Hoerl and Kennard, 1970), by the normal equations of the standardised columns.
 *
 * @param matrix checked by `checkTrainable`
 * @throws `invalid_argument` for a parameter out of its range
 */
export function trainLinearRegression(matrix: Matrix, parameters: LinearParameters): LinearModel {
  checkLinearParameters(parameters);
  const { columns, means, deviations } = standardise(matrix);
  const { labels, weights } = matrix;
  const width = columns.length + 1;
  const penalty = parameters.l2 * totalWeight(matrix);
  const normal = new Float64Array(width * width);
  const right = new Float64Array(width);
  const inputs = new Float64Array(width);
  inputs[0] = 1;
  // About the labels' mean, so that large labels cost no digits.
  const center = baseRate(matrix);
  for (let row = 0; row < labels.length; row += 1) {
    for (let index = 1; index < width; index += 1) inputs[index] = (columns[index - 1] as Float64Array)[row] as number;
    const weight = weights?.[row] ?? 1;
    const label = (labels[row] as number) - center;
    for (let i = 0; i < width; i += 1) {
      const scaled = weight * (inputs[i] as number);
      right[i] = (right[i] as number) + scaled * label;
      for (let j = 0; j <= i; j += 1)
        normal[i * width + j] = (normal[i * width + j] as number) + scaled * (inputs[j] as number);
    }
  }
  for (let index = 1; index < width; index += 1) {
    const diagonal = index * width + index;
    normal[diagonal] = (normal[diagonal] as number) + penalty;
  }
  const solution = solvePositiveDefinite(normal, right, width);
  const intercepts = Float64Array.of((solution[0] as number) + center);
  return { means, deviations, weights: [solution.slice(1)], intercepts };
}
