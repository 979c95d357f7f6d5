import assert from "node:assert/strict";
import { test } from "node:test";
import type { DatasetClient } from "./dataset.ts";
import { checkRepeatedRows, datasetWarnings } from "./datasetWarnings.ts";
import type { Dataset } from "./parquet.ts";

const array = (...values: number[]): Float64Array => Float64Array.from(values);

/** Rows of two columns at these times. */
const rowsAt = (times: readonly number[], others: Partial<Dataset> = {}): Dataset => ({
  featureNames: ["a", "b"],
  occurredAtMs: Float64Array.from(times),
  columns: [Float64Array.from(times, (time) => time % 7), Float64Array.from(times, (time) => time % 5)],
  labels: Float64Array.from(times, (time) => time % 2),
  ...others,
});

const warningsOf = (rows: Dataset): Promise<string[]> => {
  const datasets = { findings: () => Promise.resolve(["Only 3 % of the labels are 1."]) } as unknown as DatasetClient;
  const dataset = { rows, manifest: { contentHash: "x" } } as Parameters<typeof datasetWarnings>[1];
  return datasetWarnings(datasets, dataset, new AbortController().signal);
};

test("what the feature service warns of, equal columns and repeated rows are told", async () => {
  const times = Array.from({ length: 50 }, (_, row) => row);
  assert.deepEqual(await warningsOf(rowsAt(times)), ["Only 3 % of the labels are 1."]);
  const column = array(...times);
  const equal = await warningsOf(rowsAt(times, { columns: [column, column.slice()] }));
  assert.match(equal[1] ?? "", /features a and b are the same in every row: leave one out/);
  const repeated = await warningsOf(rowsAt([...times, ...times.slice(0, 5)]));
  assert.match(repeated[1] ?? "", /9\.1 % of the rows are there before/);
});

test("rows at the same time that differ in anything are no repetition", () => {
  const times = [1, 1, 1, 1];
  checkRepeatedRows(rowsAt(times, { columns: [array(1, 2, 3, 4), array(1, 1, 1, Number.NaN)] }));
  checkRepeatedRows(rowsAt(times, { labels: array(0, 1, Number.NaN, 2) }));
  const missing = rowsAt(times, { columns: [array(1, 1, 1, 1), new Float64Array(4).fill(Number.NaN)] });
  assert.throws(() => checkRepeatedRows(missing), /75 % of the 4 rows are there before, .* history loaded twice/);
});
