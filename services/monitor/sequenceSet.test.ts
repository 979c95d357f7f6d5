import assert from "node:assert/strict";
import { test } from "node:test";
import { SequenceSet } from "./sequenceSet.ts";

test("numbers in any order, with gaps, become the fewest ranges", () => {
  const set = new SequenceSet([[1, 2]]);
  for (const sequence of [5, 9, 4, 8, 3, 5, 7]) set.add(sequence);
  assert.deepEqual(set.ranges, [
    [1, 5],
    [7, 9],
  ]);
  assert.equal(set.has(6), false);
  set.add(6);
  assert.deepEqual(set.ranges, [[1, 9]]);
  assert.equal(set.has(9), true);
  assert.equal(set.has(10), false);
});

test("gaps that never fill are forgotten, oldest first, so that the set stays small", () => {
  const set = new SequenceSet();
  for (let sequence = 1; sequence <= 5_000; sequence += 2) set.add(sequence);
  assert.equal(set.ranges.length, 1_000);
  assert.equal(set.has(2), true);
  assert.equal(set.has(4_998), false);
});
