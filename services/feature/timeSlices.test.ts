import assert from "node:assert/strict";
import { test } from "node:test";
import { CALENDAR_MS, TimeSlices } from "./timeSlices.ts";

const HOUR_MS = 3_600_000;
const START_MS = Date.UTC(2001, 0, 1);

function count(times: Iterable<number>, maxSlices: number, lengths = CALENDAR_MS): TimeSlices {
  const slices = new TimeSlices(lengths, maxSlices, 1);
  for (const time of times) {
    const counts = slices.at(time);
    counts[0] = (counts[0] as number) + 1;
  }
  return slices;
}

const hours = (count: number): number[] => Array.from({ length: count }, (_, hour) => START_MS + hour * HOUR_MS);

test("times are counted in slices of an hour, in order of time whatever the order of their coming", () => {
  const slices = count([...hours(3), START_MS + 1, START_MS + 2 * HOUR_MS - 1].reverse(), 10);
  assert.equal(slices.lengthMs, HOUR_MS);
  assert.deepEqual(
    slices.all().map(({ fromMs, counts }) => [fromMs, counts[0]]),
    [
      [START_MS, 2],
      [START_MS + HOUR_MS, 2],
      [START_MS + 2 * HOUR_MS, 1],
    ],
  );
});

test("when there are too many slices they become longer, and no count is lost", () => {
  const slices = count(hours(24 * 40), 50);
  assert.equal(slices.lengthMs, 24 * HOUR_MS);
  assert.deepEqual(new Set(slices.all().map(({ counts }) => counts[0])), new Set([24]));
  assert.equal(slices.all().length, 40);
});

test("after the longest length they double", () => {
  const slices = count(hours(1_000), 100, [60_000]);
  assert.ok(slices.all().length <= 100);
  assert.equal(Math.log2(slices.lengthMs / 60_000) % 1, 0);
  assert.equal(
    slices.all().reduce((sum, { counts }) => sum + (counts[0] as number), 0),
    1_000,
  );
});
