import assert from "node:assert/strict";
import { test } from "node:test";
import { binOf } from "@millrace/metrics";
import { describeColumn, describeTraining } from "./reference.ts";

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

test("a continuous column has ten bins of a tenth each", () => {
  const { edges, shares, missing, mean } = describeColumn(
    "x",
    Float64Array.from({ length: 1_000 }, (_, row) => row + 1),
  );
  assert.deepEqual(edges, [100, 200, 300, 400, 500, 600, 700, 800, 900]);
  for (const share of shares) assert.ok(Math.abs(share - 0.1) < 1e-12);
  assert.equal(missing, 0);
  assert.equal(mean, 500.5);
});

test("bin i holds what is above edge i-1 and at most edge i", () => {
  assert.deepEqual(
    [1, 2, 2.5, 3, 4].map((value) => binOf([2, 3], value)),
    [0, 0, 1, 1, 2],
  );
  assert.equal(binOf([], 7), 0);
});

test("missing values are a share of all rows, and take no part in the bins", () => {
  const { missing, shares, mean } = describeColumn("x", Float64Array.of(1, Number.NaN, 3, Number.NaN));
  assert.equal(missing, 0.5);
  assert.equal(mean, 2);
  assert.ok(Math.abs(sum(shares) - 1) < 1e-12);
});

for (const [what, zeros, ones] of [
  ["mostly zero", 95, 5],
  ["mostly one", 5, 95],
  ["half and half", 50, 50],
] as const) {
  test(`a flag that is ${what} has two bins`, () => {
    const values = Float64Array.from({ length: zeros + ones }, (_, row) => Number(row >= zeros));
    const { edges, shares } = describeColumn("flag", values);
    assert.deepEqual(edges, [0]);
    assert.deepEqual(shares, [zeros / 100, ones / 100]);
  });
}

test("a constant has an edge, so that growth beyond it is seen", () => {
  const { edges, shares, standardDeviation } = describeColumn("x", new Float64Array(50).fill(3));
  assert.deepEqual(edges, [3]);
  assert.deepEqual(shares, [1, 0]);
  assert.equal(standardDeviation, 0);
});

test("a column that is all missing or empty has no bins", () => {
  const all = describeColumn("x", new Float64Array(5).fill(Number.NaN));
  assert.equal(all.missing, 1);
  assert.deepEqual(all.shares, []);
  assert.equal(describeColumn("x", new Float64Array(0)).missing, 0);
});

test("infinities fall into the outer bins and do not spoil mean and deviation", () => {
  const { shares, mean, standardDeviation } = describeColumn("x", Float64Array.of(-Infinity, 1, 2, 3, Infinity));
  assert.equal(mean, 2);
  assert.ok(Number.isFinite(standardDeviation));
  assert.ok(Math.abs(sum(shares) - 1) < 1e-12);
});

test("many rows: bins from a sample, shares from all rows", () => {
  const { shares } = describeColumn(
    "x",
    Float64Array.from({ length: 100_000 }, (_, row) => (row * 7_919) % 100_000),
  );
  for (const share of shares) assert.ok(Math.abs(share - 0.1) < 0.01);
});

test("the reference covers the training rows' features and the predictions", () => {
  const columns = [Float64Array.of(1, 2, 100), Float64Array.of(5, Number.NaN, 5)];
  const reference = describeTraining({
    featureNames: ["a", "b"],
    columns,
    occurredAtMs: Float64Array.of(0, 1, 2),
    train: Uint32Array.of(0, 1),
    holdout: Uint32Array.of(1, 2),
    labels: Float64Array.of(0, 1, 0),
    predictions: Float64Array.of(0.2, 0.4),
    windowMs: 1_000,
  });
  assert.equal(reference.rows, 2n);
  assert.deepEqual(
    reference.features.map(({ name, mean }) => [name, mean]),
    [
      ["a", 1.5],
      ["b", 5],
    ],
  );
  assert.ok(Math.abs((reference.prediction?.mean ?? 0) - 0.3) < 1e-12);
});

test("windows of the training rows are described one by one; small ones tell nothing", () => {
  const rows = 3_001;
  // Three windows of 1,000 rows, the third shifted, with a gap in each; and one row of a fourth.
  const values = Float64Array.from({ length: rows }, (_, row) =>
    row % 1_000 === 7 ? Number.NaN : (row % 100) + (row >= 2_000 ? 50 : 0),
  );
  const all = Uint32Array.from({ length: rows }, (_, row) => row);
  const { features, truth, prediction } = describeTraining({
    featureNames: ["x"],
    columns: [values],
    occurredAtMs: Float64Array.from({ length: rows }, (_, row) => row),
    labels: Float64Array.from({ length: rows }, (_, row) => (row % 4 === 0 ? 1 : 0)),
    train: all,
    holdout: all,
    predictions: new Float64Array(rows).fill(0.25),
    windowMs: 1_000,
  });
  const windows = features[0]?.windows ?? [];
  assert.deepEqual(
    windows.map(({ counts, missing }) => [sum(counts), missing]),
    [
      [999, 1],
      [999, 1],
      [999, 1],
    ],
  );
  assert.deepEqual(windows[0]?.counts, windows[1]?.counts);
  assert.notDeepEqual(windows[0]?.counts, windows[2]?.counts);
  assert.equal(prediction?.windows.length, 3);
  // Of a quarter that is promised to be late, a quarter is.
  for (const { rows: ofWindow, excessLogLoss } of truth) {
    assert.equal(ofWindow, 1_000);
    assert.ok(Math.abs(excessLogLoss) < 1e-12, `${excessLogLoss}`);
  }
});

test("few values are categories with a bin each, and the range is told", () => {
  const { edges, shares, categories, minimum, maximum } = describeColumn("x", Float64Array.of(3, 1, 1, 7, 1));
  assert.deepEqual(
    [edges, shares, categories],
    [
      [1, 3],
      [0.6, 0.2, 0.2],
      [1, 3, 7],
    ],
  );
  assert.deepEqual([minimum, maximum], [1, 7]);
  const many = describeColumn(
    "x",
    Float64Array.from({ length: 1_000 }, (_, row) => row),
  );
  assert.deepEqual([many.categories, many.minimum, many.maximum], [[], 0, 999]);
});
