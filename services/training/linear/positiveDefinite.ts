/** Solves H x = g by Cholesky's decomposition; only the lower triangle of H is read, and it is overwritten. */
export function solvePositiveDefinite(hessian: Float64Array, gradient: Float64Array, width: number): Float64Array {
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
