import assert from "node:assert/strict";
import { test } from "node:test";
import { RowSample } from "./rowSample.ts";

function sampleOf(rows: number, maxRows: number, value: (row: number) => number = (row) => row): Float64Array {
  const sample = new RowSample(1, maxRows);
  for (let row = 0; row < rows; row += 1) if (sample.next()) sample.set(0, value(row));
  return sample.column(0);
}

test("a sample holds every row as long as they fit", () => {
  assert.deepEqual([...sampleOf(4_096, 4_096)], [...Array(4_096).keys()]);
});

test("beyond that it stays within its bound, keeps the order, and is spread over all rows", () => {
  const rows = 1_000_000;
  const sample = sampleOf(rows, 10_000);
  assert.ok(sample.length <= 10_000 && sample.length > 4_000, `${sample.length} rows`);
  assert.deepEqual(sample, sample.toSorted());
  const tenths = new Float64Array(10);
  for (const row of sample) tenths[Math.floor((row / rows) * 10)] = (tenths[Math.floor((row / rows) * 10)] ?? 0) + 1;
  for (const tenth of tenths) assert.ok(Math.abs(tenth / sample.length - 0.1) < 0.02, `${tenth} of ${sample.length}`);
});

test("a pattern that repeats every 2, 24 or 64 rows is not favoured", () => {
  for (const period of [2, 24, 64]) {
    const sample = sampleOf(500_000, 20_000, (row) => Number(row % period === 0));
    const share = sample.reduce((sum, value) => sum + value, 0) / sample.length;
    assert.ok(Math.abs(share * period - 1) < 0.25, `${share} instead of 1/${period}`);
  }
});

test("the same rows give the same sample", () => {
  assert.deepEqual(sampleOf(300_000, 1_000), sampleOf(300_000, 1_000));
});

test("wide rows are fewer, so that memory stays bounded", () => {
  const sample = new RowSample(4_096);
  for (let row = 0; row < 5_000; row += 1) sample.next();
  assert.ok(sample.rows <= 1_024 && sample.rows > 300, `${sample.rows} rows`);
});
