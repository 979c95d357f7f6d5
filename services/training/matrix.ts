import { MillraceError } from "@millrace/runtime";
import { BINARY, labelText, type Task } from "./task.ts";

/** Rows by columns, for training and evaluation. NaN in a column is missing. */
export interface Matrix {
  readonly featureNames: readonly string[];
  /** One column per feature, all of the same length. */
  readonly columns: readonly Float64Array[];
  /** 0 or 1 for binary tasks, a class's index for multi-class ones, else a number. */
  readonly labels: Float64Array;
  /** Features whose values are names, not amounts. Absent: none. */
  readonly categorical?: readonly string[];
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
    ...(matrix.categorical === undefined ? {} : { categorical: matrix.categorical }),
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

/** Mean of the labels, rows counted by their weight; for binary labels the share of positive ones. */
export function baseRate({ labels, weights }: Pick<Matrix, "labels" | "weights">): number {
  let sum = 0;
  let total = 0;
  for (let row = 0; row < labels.length; row += 1) {
    const weight = weights?.[row] ?? 1;
    sum += weight * (labels[row] as number);
    total += weight;
  }
  return sum / total;
}

/** Share of each class, rows counted by their weight. */
export function classShares({ labels, weights }: Pick<Matrix, "labels" | "weights">, classes: number): Float64Array {
  const sums = new Float64Array(classes);
  let total = 0;
  for (let row = 0; row < labels.length; row += 1) {
    const weight = weights?.[row] ?? 1;
    sums[labels[row] as number] = (sums[labels[row] as number] as number) + weight;
    total += weight;
  }
  return sums.map((sum) => sum / total);
}

/**
 * Refuses what no model of the task can be trained on, before any time is spent.
 *
 * @throws `failed_precondition` naming the column, the rule and the row.
 */
export function checkTrainable(matrix: Matrix, task: Task = BINARY): void {
  const { featureNames, columns, labels } = matrix;
  if (labels.length === 0) refuse("there are no rows to train on; load history first");
  if (columns.length === 0 || columns.length !== featureNames.length) refuse("there are no feature columns");
  const twice = featureNames.find((name, index) => featureNames.indexOf(name) !== index);
  if (twice !== undefined) refuse(`there are two features named ${twice}; leave one out`);
  checkLabels(labels, task);
  for (const [index, column] of columns.entries()) checkColumn(featureNames[index] as string, column, labels.length);
  checkWeights(matrix, task);
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

/** What is wrong with the label of a row, as the end of a sentence; undefined when nothing is. */
export function labelProblem(label: number, task: Task): string | undefined {
  switch (task.kind) {
    case "binary":
      return label === 0 || label === 1 ? undefined : `has the label ${label}; a binary label is 0 or 1`;
    case "multiclass":
      if (Number.isInteger(label) && label >= 0 && label < task.classes.length) return undefined;
      return `has the label ${label}; a label is the index of one of the ${task.classes.length} classes`;
    case "regression":
      if (Number.isFinite(Math.fround(label))) return undefined;
      return `has the label ${label}; a label is a finite number, at most 3.4e38`;
  }
}

function checkLabels(labels: Float64Array, task: Task): void {
  const [first] = labels;
  let varies = false;
  for (let row = 0; row < labels.length; row += 1) {
    const label = labels[row] as number;
    const problem = labelProblem(label, task);
    if (problem !== undefined) refuse(`row ${row} ${problem}`);
    if (label !== first) varies = true;
  }
  if (!varies)
    refuse(`all ${labels.length} rows have the label ${labelText(task, first as number)}; ${NEEDS[task.kind]}`);
  if (task.kind !== "multiclass") return;
  const shares = classShares({ labels }, task.classes.length);
  const absent = task.classes.filter((_, index) => shares[index] === 0);
  if (absent.length > 0) {
    refuse(`no row has the label ${absent.join(" or ")}; take a longer time range, or leave it out of model.classes`);
  }
}

const NEEDS: Readonly<Record<Task["kind"], string>> = {
  binary: "a model needs both classes: take a longer time range",
  multiclass: "a model needs more than one class: take a longer time range",
  regression: "there is nothing to learn: check label.value in the app",
};

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

function checkWeights({ weights, labels }: Matrix, task: Task): void {
  if (weights === undefined) return;
  if (weights.length !== labels.length) {
    refuse(`there are ${weights.length} weights for ${labels.length} rows; give each row one`);
  }
  let total = 0;
  for (let row = 0; row < weights.length; row += 1) {
    const weight = weights[row] as number;
    if (!(weight >= 0 && Number.isFinite(weight))) {
      refuse(`row ${row} has the weight ${weight}; a weight is finite and not negative`);
    }
    total += weight;
  }
  if (total === 0) refuse("all rows have the weight 0; a model needs rows that count");
  if (task.kind === "regression") return;
  const shares = classShares({ labels, weights }, task.kind === "binary" ? 2 : task.classes.length);
  for (const [label, share] of shares.entries()) {
    if (share > 0) continue;
    refuse(`all rows with the label ${labelText(task, label)} have the weight 0; a model needs all classes`);
  }
}

function refuse(text: string): never {
  throw new MillraceError("failed_precondition", text);
}
