import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { LabelTally } from "./labelTally.ts";

const HOUR_MS = 3_600_000;
const NO_COUNTS = {
  labelEvents: 0,
  duplicates: 0,
  conflicts: 0,
  due: 0,
  unmatched: 0,
  repeatedKeys: 0,
  repeatedRows: 0,
};

/** Rows at these hours, `log` hours being the end of what is known, with a wait of 12 hours. */
function tallyOf(rows: readonly (readonly [hour: number, label: number])[], log: number): LabelTally {
  const tally = new LabelTally(12 * HOUR_MS);
  for (const [hour, label] of rows) {
    const row = { key: "", occurredAtMs: hour * HOUR_MS, features: new Float64Array(0), label, labelKnownAtMs: 0 };
    tally.add({ ...row, earlier: undefined }, log * HOUR_MS);
  }
  return tally;
}

test("rows whose label may still come are told from those that never got one, also by time", () => {
  const tally = tallyOf(
    [
      [0, 1],
      [0.5, Number.NaN],
      [5, 0],
      [9, Number.NaN],
      [19, Number.NaN],
    ],
    20,
  );
  const { pendingRows, neverLabelledRows, positiveRows, slices } = tally.statistics(NO_COUNTS, Float64Array.of());
  assert.deepEqual([pendingRows, neverLabelledRows, positiveRows], [2n, 1n, 1n]);
  assert.deepEqual(
    slices.map(({ from, rows, labelled, positive, pending }) => [
      from && timestampMs(from) / HOUR_MS,
      rows,
      labelled,
      positive,
      pending,
    ]),
    [
      [0, 2n, 1n, 1n, 0n],
      [5, 1n, 1n, 0n, 0n],
      [9, 1n, 0n, 0n, 1n],
      [19, 1n, 0n, 0n, 1n],
    ],
  );
});

test("delays of labels are quantiles in seconds", () => {
  const delays = Float64Array.from({ length: 100 }, (_, index) => (index + 1) * 1_000);
  const { delaySeconds } = tallyOf([], 0).statistics(NO_COUNTS, Float64Array.of(...delays, Number.NaN));
  assert.equal(delaySeconds.find(({ share }) => share === 0.95)?.value, 95);
});

test("the holdout is the newest share of the labelled rows, and both sides are counted", () => {
  const rows = Array.from({ length: 1_000 }, (_, row) => [row / 10, Number(row % 4 === 0)] as const);
  const unlabelled = [[99, Number.NaN] as const];
  const split = tallyOf([...rows, ...unlabelled], 200).split(0.2);
  assert.deepEqual([split?.trainRows, split?.holdoutRows], [800n, 200n]);
  assert.deepEqual([split?.trainPositive, split?.holdoutPositive], [200n, 50n]);
  assert.equal(split?.holdoutFrom && timestampMs(split.holdoutFrom), 80 * HOUR_MS);
  assert.equal(tallyOf(unlabelled, 200).split(0.2), undefined);
});
