import assert from "node:assert/strict";
import { test } from "node:test";
import { binOf, binsOf, distinctOf, quantilesOf } from "./distribution.ts";

const range = (length: number, value: (index: number) => number): Float64Array =>
  Float64Array.from({ length }, (_, index) => value(index)).sort();

test("a column of few values has one bin for each of them", () => {
  const bins = binsOf(range(700, (index) => index % 7));
  assert.deepEqual(bins.low, [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(bins.high, bins.low);
  assert.deepEqual(new Set(bins.rows), new Set([100n]));
});

test("a column of many values has bins of about equal size that hold all of them", () => {
  const bins = binsOf(range(50_000, (index) => index ** 2));
  assert.ok(bins.low.length > 100 && bins.low.length <= 128, `${bins.low.length} bins`);
  assert.equal(
    bins.rows.reduce((sum, rows) => sum + rows, 0n),
    50_000n,
  );
  for (const rows of bins.rows) assert.ok(rows <= 400n);
});

test("equal values are never in two bins, and a frequent one has a bin of its own", () => {
  const sorted = range(10_000, (index) => (index < 6_000 ? 0 : index));
  const bins = binsOf(sorted);
  assert.deepEqual([bins.low[0], bins.high[0], bins.rows[0]], [0, 0, 6_000n]);
  bins.low.slice(1).forEach((low, index) => assert.ok(low > (bins.high[index] as number)));
});

test("a value is found in its bin, one between two bins in the lower", () => {
  const bins = binsOf(Float64Array.of(1, 1, 4, 9));
  assert.deepEqual(
    [0, 1, 3, 4, 9, 10].map((value) => binOf(bins, value)),
    [-1, 0, 0, 1, 2, 2],
  );
});

test("quantiles are values of the column", () => {
  const quantiles = quantilesOf(range(1_000, (index) => index + 1));
  assert.deepEqual(
    quantiles.map(({ share, value }) => [share, value]),
    [
      [0.01, 10],
      [0.05, 50],
      [0.25, 250],
      [0.5, 500],
      [0.75, 750],
      [0.95, 950],
      [0.99, 990],
    ],
  );
  assert.deepEqual(quantilesOf(new Float64Array(0)), []);
  assert.equal(distinctOf(Float64Array.of(1, 1, 2, 5, 5)), 3);
});
