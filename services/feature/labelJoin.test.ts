import assert from "node:assert/strict";
import { test } from "node:test";
import { type DatasetRow, LabelJoin } from "./labelJoin.ts";

const HOUR_MS = 3_600_000;
const FEATURES = new Float64Array(0);

function joinOf(due: { fromMs?: number; beforeMs?: number } = {}): { join: LabelJoin; rows: DatasetRow[] } {
  const rows: DatasetRow[] = [];
  const { fromMs = -Infinity, beforeMs = Infinity } = due;
  const options = { waitMs: 12 * HOUR_MS, dueFromMs: fromMs, dueBeforeMs: beforeMs };
  return { rows, join: new LabelJoin({ ...options, emit: (row) => rows.push(row) }) };
}

const at = (hours: number): number => hours * HOUR_MS;

test("a second label of the same key is a duplicate when it says the same, a conflict when not; the last one counts", () => {
  const { join, rows } = joinOf();
  for (const key of ["a", "b", "c"]) join.addRow(key, at(1), FEATURES);
  join.addLabel("a", 1, at(2));
  join.addLabel("a", 1, at(3));
  join.addLabel("b", 1, at(2));
  join.addLabel("b", 0, at(4));
  join.addLabel("c", 0, at(2));
  join.finish();
  const { labelEvents, duplicates, conflicts, due, unmatched } = join.counts;
  assert.deepEqual(
    { labelEvents, duplicates, conflicts, due, unmatched },
    { labelEvents: 5, duplicates: 1, conflicts: 1, due: 3, unmatched: 0 },
  );
  assert.deepEqual(
    rows.map(({ label, labelKnownAtMs }) => [label, labelKnownAtMs]),
    [
      [1, at(3)],
      [0, at(4)],
      [0, at(2)],
    ],
  );
});

test("a label that no row takes is counted, whether it is too late or has no row", () => {
  const { join, rows } = joinOf();
  join.addRow("late", at(0), FEATURES);
  join.addRow("good", at(1), FEATURES);
  join.addLabel("good", 1, at(2));
  join.advance(at(13));
  join.addLabel("late", 1, at(13));
  join.addLabel("nobody", 1, at(14));
  join.advance(at(40));
  assert.equal(join.counts.unmatched, 2);
  assert.equal(join.counts.due, 3);
  assert.ok(Number.isNaN(rows.find(({ key }) => key === "late")?.label));
});

test("a label that comes before its row is not unmatched", () => {
  const { join } = joinOf();
  join.addLabel("a", 1, at(1));
  join.addLabel("a", 0, at(2));
  join.addRow("a", at(1.5), FEATURES);
  join.finish();
  assert.equal(join.counts.unmatched, 0);
  assert.equal(join.counts.conflicts, 1);
});

test("labels of rows outside the range are nobody's fault", () => {
  const { join } = joinOf({ fromMs: at(24), beforeMs: at(48) });
  join.addLabel("of a row before the range", 1, at(20));
  join.addLabel("should have a row", 1, at(30));
  join.addLabel("of a row after the range", 1, at(50));
  join.finish();
  assert.equal(join.counts.due, 1);
  assert.equal(join.counts.unmatched, 1);
});

test("rows with the key of a waiting row are counted, and those that are the same row again", () => {
  const { join } = joinOf();
  join.addRow("a", at(1), FEATURES);
  join.addRow("a", at(1), FEATURES);
  join.addRow("a", at(2), FEATURES);
  join.advance(at(30));
  join.addRow("a", at(30), FEATURES);
  const { repeatedKeys, repeatedRows } = join.counts;
  assert.deepEqual({ repeatedKeys, repeatedRows }, { repeatedKeys: 2, repeatedRows: 1 });
});
