import assert from "node:assert/strict";
import { test } from "node:test";
import { randomNumbers } from "@millrace/metrics";
import { encodeCategories, fitCategories } from "./categories.ts";
import type { Matrix } from "./matrix.ts";
import { BINARY, REGRESSION, type Task } from "./task.ts";

const rowsWith = (values: readonly number[], labels: readonly number[]): Matrix => ({
  featureNames: ["c"],
  columns: [Float64Array.from(values)],
  labels: Float64Array.from(labels),
  categorical: ["c"],
});

test("a category's code is its labels' mean, drawn towards that of all rows as worked out by hand", () => {
  // Category 7: 30 rows of 1; category 8: 10 rows of 0. All: 0.75. Codes (30 + 20 * 0.75) / 50 and (0 + 15) / 30.
  const values = [...Array.from({ length: 30 }, () => 7), ...Array.from({ length: 10 }, () => 8)];
  const { codes } = fitCategories(
    rowsWith(
      values,
      values.map((value) => (value === 7 ? 1 : 0)),
    ),
    BINARY,
  );
  assert.deepEqual([...(codes[0]?.values ?? [])], [7, 8]);
  assert.deepEqual([...(codes[0]?.codes ?? [])], [Math.fround(0.9), Math.fround(0.5)]);
});

test("a category that training did not see, and a missing one, are missing", () => {
  const { codes } = fitCategories(rowsWith([1, 2, 1, 2, 1, 2], [0, 1, 0, 1, 1, 1]), BINARY);
  const [column] = encodeCategories([Float64Array.of(1, 3, Number.NaN)], codes);
  assert.ok((column?.[0] as number) > 0);
  assert.deepEqual([...(column?.slice(1) ?? [])], [Number.NaN, Number.NaN]);
});

test("no row to train on meets its own label in its code: an identifier tells nothing", () => {
  // Every category comes once. Codes of all rows would tell the label exactly.
  const random = randomNumbers(1);
  const labels = Array.from({ length: 500 }, () => (random() < 0.5 ? 1 : 0));
  const { columns } = fitCategories(
    rowsWith(
      labels.map((_, row) => row),
      labels,
    ),
    BINARY,
  );
  assert.ok(columns[0]?.every(Number.isNaN), "in the other folds its category is unknown");
  // A label that is changed does not change its own row's code.
  const values = labels.map((_, row) => row % 3);
  const codeOf = (labelOfFirst: number): number | undefined =>
    fitCategories(rowsWith(values, [labelOfFirst, ...labels.slice(1)]), BINARY).columns[0]?.[0];
  assert.equal(codeOf(0), codeOf(1));
});

test("rows of weight two count as two in the codes of later rows", () => {
  const single = rowsWith([1, 2, 1, 2, 3, 3], [5, 1, 7, 3, 2, 2]);
  const column = single.columns[0] as Float64Array;
  const twice = {
    ...single,
    columns: [Float64Array.of(...column, ...column)],
    labels: Float64Array.of(...single.labels, ...single.labels),
  };
  const weighted = { ...single, weights: new Float64Array(6).fill(2) };
  assert.deepEqual(fitCategories(weighted, REGRESSION).codes, fitCategories(twice, REGRESSION).codes);
});

test("of several classes, categories are ordered along what parts them most", () => {
  const task: Task = { kind: "multiclass", classes: ["x", "y", "z"] };
  // Categories 0 to 3 move from class y to class x; z is everywhere alike.
  const rows = [0, 1, 2, 3].flatMap((category) =>
    Array.from({ length: 40 }, (_, row) => [category, row < 10 ? 2 : row < 12 + 9 * category ? 0 : 1] as const),
  );
  const matrix = rowsWith(
    rows.map(([category]) => category),
    rows.map(([, label]) => label),
  );
  const codes = [...(fitCategories(matrix, task).codes[0]?.codes ?? [])];
  const sorted = codes.toSorted((left, right) => left - right);
  assert.ok(codes.join() === sorted.join() || codes.join() === sorted.toReversed().join(), codes.join());
  assert.equal(new Set(codes).size, 4);
});
