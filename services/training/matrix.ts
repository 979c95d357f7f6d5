import { MillraceError } from "@millrace/runtime";

/** Rows by columns, for training and evaluation. NaN in a column is missing. */
export interface Matrix {
  readonly featureNames: readonly string[];
  /** One column per feature, all of the same length. */
  readonly columns: readonly Float64Array[];
  /** 0 or 1 for binary tasks. */
  readonly labels: Float64Array;
  /** One per row; absent means 1. A row of weight 2 counts as two rows. */
  readonly weights?: Float64Array;
}

/** The chosen rows, in the order of `rows`. */
export function selectRows(matrix: Matrix, rows: ArrayLike<number>): Matrix {
  const pick = (column: Float64Array): Float64Array => Float64Array.from(rows, (row) => column[row] as number);
  return {
    featureNames: matrix.featureNames,
    columns: matrix.columns.map(pick),
    labels: pick(matrix.labels),
    ...(matrix.weights === undefined ? {} : { weights: pick(matrix.weights) }),
  };
}

/**
 * The same rows with the named columns, in the order of the names.
 *
 * @throws `failed_precondition` when there is no such column
 */
export function withColumns(matrix: Matrix, names: readonly string[]): Matrix {
  const columns = names.map((name) => {
    const column = matrix.columns[matrix.featureNames.indexOf(name)];
    if (column === undefined)
      refuse(`there is no feature ${name} any more; there are ${matrix.featureNames.join(", ")}`);
    return column;
  });
  return { ...matrix, featureNames: names, columns };
}

/** Share of positive labels, rows counted by their weight. */
export function baseRate({ labels, weights }: Matrix): number {
  let positive = 0;
  let total = 0;
  for (let row = 0; row < labels.length; row += 1) {
    const weight = weights?.[row] ?? 1;
    positive += weight * (labels[row] as number);
    total += weight;
  }
  return positive / total;
}

/**
 * Refuses what no binary model can be trained on, before any time is spent.
 *
 * @throws `failed_precondition` naming the column, the rule and the row.
 */
export function checkTrainable(matrix: Matrix): void {
  const { featureNames, columns, labels } = matrix;
  if (labels.length === 0) refuse("there are no rows to train on; load history first");
  if (columns.length === 0 || columns.length !== featureNames.length) refuse("there are no feature columns");
  const twice = featureNames.find((name, index) => featureNames.indexOf(name) !== index);
  if (twice !== undefined) refuse(`there are two features named ${twice}; leave one out`);
  checkLabels(labels);
  for (const [index, column] of columns.entries()) checkColumn(featureNames[index] as string, column, labels.length);
  checkWeights(matrix);
}

/** Features that no model can learn from: constant where known, or never known. Harmless, but somebody should know. */
export function columnsWithoutInformation({ featureNames, columns }: Matrix): string[] {
  return columns.flatMap((column, index) => {
    const name = featureNames[index] as string;
    const first = column.find((value) => !Number.isNaN(value));
    if (first === undefined) return [`${name} is missing in every row`];
    if (column.every((value) => value === first)) return [`${name} is ${first} in every row`];
    return [];
  });
}

function checkLabels(labels: Float64Array): void {
  let positives = 0;
  for (let row = 0; row < labels.length; row += 1) {
    const label = labels[row];
    if (label !== 0 && label !== 1) refuse(`row ${row} has the label ${label}; a binary label is 0 or 1`);
    if (label === 1) positives += 1;
  }
  if (positives === 0 || positives === labels.length) {
    refuse(
      `all ${labels.length} rows have the label ${labels[0]}; a model needs both classes: take a longer time range`,
    );
  }
}

function checkColumn(name: string, column: Float64Array, rows: number): void {
  if (column.length !== rows) refuse(`feature ${name} has ${column.length} rows, the labels have ${rows}`);
  for (let row = 0; row < rows; row += 1) {
    const value = column[row] as number;
    if (value === Infinity || value === -Infinity) {
      refuse(`feature ${name} is infinite in row ${row}; finite or missing is allowed`);
    }
    // A model file takes float32.
    if (!Number.isNaN(value) && !Number.isFinite(Math.fround(value))) {
      refuse(`feature ${name} is ${value} in row ${row}, more than float32 holds (3.4e38); scale it down`);
    }
  }
}

function checkWeights({ weights, labels }: Matrix): void {
  if (weights === undefined) return;
  if (weights.length !== labels.length) {
    refuse(`there are ${weights.length} weights for ${labels.length} rows; give each row one`);
  }
  const weightOf = [0, 0];
  for (let row = 0; row < weights.length; row += 1) {
    const weight = weights[row] as number;
    if (!(weight >= 0 && Number.isFinite(weight))) {
      refuse(`row ${row} has the weight ${weight}; a weight is finite and not negative`);
    }
    weightOf[labels[row] as number] = (weightOf[labels[row] as number] as number) + weight;
  }
  for (const [label, weight] of weightOf.entries()) {
    if (weight === 0) refuse(`all rows with the label ${label} have the weight 0; a model needs both classes`);
  }
}

function refuse(text: string): never {
  throw new MillraceError("failed_precondition", text);
}
