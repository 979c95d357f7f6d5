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
export function checkTrainable({ featureNames, columns, labels, weights }: Matrix): void {
  const refuse = (text: string): never => {
    throw new MillraceError("failed_precondition", text);
  };
  if (labels.length === 0) refuse("there are no rows to train on; load history first");
  if (columns.length === 0 || columns.length !== featureNames.length) refuse("there are no feature columns");
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
  for (const [index, column] of columns.entries()) {
    if (column.length !== labels.length) {
      refuse(`feature ${featureNames[index]} has ${column.length} rows, the labels have ${labels.length}`);
    }
    const infinite = column.findIndex((value) => value === Infinity || value === -Infinity);
    if (infinite !== -1)
      refuse(`feature ${featureNames[index]} is infinite in row ${infinite}; finite or missing is allowed`);
  }
  const bad = weights?.findIndex((weight) => !(weight >= 0 && Number.isFinite(weight))) ?? -1;
  if (bad !== -1) refuse(`row ${bad} has the weight ${weights?.[bad]}; a weight is finite and not negative`);
}
