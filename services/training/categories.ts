import type { Matrix } from "./matrix.ts";
import { outputsOf, type Task } from "./task.ts";

/** What the values of a categorical feature become. Both are float32 numbers, and of the same length. */
export interface CategoryCode {
  readonly feature: number;
  /** The categories of the training rows, ascending. */
  readonly values: Float64Array;
  /** What each of them says about the label: its smoothed mean. */
  readonly codes: Float64Array;
}

/** One for each categorical feature, in the order of the features. A category that is none of its values counts as missing. */
export type CategoryCodes = readonly CategoryCode[];

/** A category's own mean counts as much as that of all rows once it has so many rows. */
const PRIOR_ROWS = 20;
const FOLDS = 5;

/**
 * Puts the categories of each categorical feature in order by their labels' smoothed mean, so that one threshold parts them as well as any
 * grouping would (Breiman et al., 1984, theorem 4.5); of several classes, along the first principal component of the classes' shares
 * (Coppersmith, Hong and Hosking, 1999).
 *
 * A row must not meet its own label in its features: the rows to train on get codes that come from the other four fifths of them
 * (cross-fitting; Micci-Barreca, 2001, for the codes), and all later rows those of all.
 *
 * @returns the codes, and the training rows' columns with them
 */
export function fitCategories(matrix: Matrix, task: Task): { codes: CategoryCodes; columns: Float64Array[] } {
  const columns = [...matrix.columns];
  const codes: CategoryCode[] = [];
  for (const [feature, name] of matrix.featureNames.entries()) {
    if (matrix.categorical?.includes(name) !== true) continue;
    const column = Float64Array.from(matrix.columns[feature] as Float64Array, Math.fround);
    const directions = task.kind === "multiclass" ? principalDirection(column, matrix, outputsOf(task)) : undefined;
    const numbers =
      directions === undefined ? matrix.labels : matrix.labels.map((label) => directions[label] as number);
    const { whole, crossFitted } = codesOf(column, numbers, matrix.weights);
    const values = Float64Array.from(whole.keys()).sort();
    codes.push({ feature, values, codes: values.map((value) => whole.get(value) as number) });
    columns[feature] = crossFitted;
  }
  return { codes, columns };
}

/** Columns as a model that was trained with these codes takes them. */
export function encodeCategories(columns: readonly Float64Array[], codes: CategoryCodes): readonly Float64Array[] {
  if (codes.length === 0) return columns;
  const encoded = [...columns];
  for (const { feature, values, codes: of } of codes) {
    const codeOf = new Map(Array.from(values, (value, index) => [value, of[index] as number]));
    encoded[feature] = (columns[feature] as Float64Array).map((value) => codeOf.get(Math.fround(value)) ?? Number.NaN);
  }
  return encoded;
}

interface Sums {
  weight: number;
  sum: number;
}

/** Weights and sums of the numbers by category, missing values left out, per fold of consecutive rows. */
function foldSums(column: Float64Array, numbers: Float64Array, weights: Float64Array | undefined): Map<number, Sums[]> {
  const sums = new Map<number, Sums[]>();
  for (let row = 0; row < column.length; row += 1) {
    const value = column[row] as number;
    if (Number.isNaN(value)) continue;
    let folds = sums.get(value);
    if (folds === undefined) {
      folds = Array.from({ length: FOLDS }, () => ({ weight: 0, sum: 0 }));
      sums.set(value, folds);
    }
    const fold = folds[foldOf(row, column.length)] as Sums;
    const weight = weights?.[row] ?? 1;
    fold.weight += weight;
    fold.sum += weight * (numbers[row] as number);
  }
  return sums;
}

const foldOf = (row: number, rows: number): number => Math.floor((row * FOLDS) / rows);

function codesOf(
  column: Float64Array,
  numbers: Float64Array,
  weights: Float64Array | undefined,
): { whole: Map<number, number>; crossFitted: Float64Array } {
  const sums = foldSums(column, numbers, weights);
  const perFold = Array.from({ length: FOLDS }, (_, fold) => codesWithout(sums, fold));
  const crossFitted = column.map((value, row) => perFold[foldOf(row, column.length)]?.get(value) ?? Number.NaN);
  return { whole: codesWithout(sums, undefined), crossFitted };
}

/** @param without the fold that is left out */
function codesWithout(sums: ReadonlyMap<number, readonly Sums[]>, without: number | undefined): Map<number, number> {
  const totals = new Map<number, Sums>();
  const all: Sums = { weight: 0, sum: 0 };
  for (const [value, folds] of sums) {
    const total: Sums = { weight: 0, sum: 0 };
    for (const [fold, { weight, sum }] of folds.entries()) {
      if (fold === without) continue;
      total.weight += weight;
      total.sum += sum;
    }
    if (total.weight === 0) continue;
    totals.set(value, total);
    all.weight += total.weight;
    all.sum += total.sum;
  }
  const prior = PRIOR_ROWS * (all.sum / all.weight);
  const codes = new Map<number, number>();
  for (const [value, { weight, sum }] of totals) codes.set(value, Math.fround((sum + prior) / (weight + PRIOR_ROWS)));
  return codes;
}

const POWER_ITERATIONS = 50;

/** The direction, one number for each class, along which the categories' shares of the classes differ most; of length 1. */
function principalDirection(column: Float64Array, { labels, weights }: Matrix, classes: number): Float64Array {
  const counts = new Map<number, Float64Array>();
  const all = new Float64Array(classes);
  let total = 0;
  for (let row = 0; row < column.length; row += 1) {
    const value = column[row] as number;
    if (Number.isNaN(value)) continue;
    const of = counts.get(value) ?? new Float64Array(classes);
    const weight = weights?.[row] ?? 1;
    const label = labels[row] as number;
    of[label] = (of[label] as number) + weight;
    all[label] = (all[label] as number) + weight;
    total += weight;
    counts.set(value, of);
  }
  const deviations = [...counts.values()].map((of) => {
    const weight = of.reduce((sum, count) => sum + count, 0);
    return { weight, shares: of.map((count, label) => count / weight - (all[label] as number) / total) };
  });
  // Begins where the last class differs from the others, so that two classes come out as one label would.
  let direction = Float64Array.from({ length: classes }, (_, label) => (label === classes - 1 ? 1 : -1 / classes));
  for (let iteration = 0; iteration < POWER_ITERATIONS; iteration += 1) {
    const next = new Float64Array(classes);
    for (const { weight, shares } of deviations) {
      const along = weight * shares.reduce((sum, share, label) => sum + share * (direction[label] as number), 0);
      for (let label = 0; label < classes; label += 1)
        next[label] = (next[label] as number) + along * (shares[label] as number);
    }
    const length = Math.hypot(...next);
    if (!(length > 0)) break;
    direction = next.map((value) => value / length);
  }
  return direction;
}
