import assert from "node:assert/strict";
import { test } from "node:test";
import { labelGapMs, splitByTime } from "./split.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const AS_OF_MS = 20 * DAY_MS;
const WAIT_MS = 36 * HOUR_MS;

/** One row a minute up to `AS_OF_MS`, whose label takes 1 to 5 hours; every third is positive. */
function history(days: number): { occurredAtMs: Float64Array; labels: Float64Array } {
  const rows = (days * DAY_MS) / 60_000;
  const occurredAtMs = Float64Array.from({ length: rows }, (_, row) => AS_OF_MS - (rows - row) * 60_000);
  const labels = occurredAtMs.map((time, row) => {
    const delayMs = (1 + ((row * 7) % 5)) * HOUR_MS;
    return time + delayMs > AS_OF_MS ? Number.NaN : Number(row % 3 === 0);
  });
  return { occurredAtMs, labels };
}

const options = { asOfMs: AS_OF_MS, waitMs: WAIT_MS, holdout: 0.2, maxRows: 1_000_000 };

test("the holdout is the newest share, newer than every other row", () => {
  const { occurredAtMs, labels } = history(10);
  const { train, validation, calibration, holdout } = splitByTime(occurredAtMs, labels, options);
  const firstMs = occurredAtMs[holdout[0] as number] as number;
  for (const row of [...train, ...validation, ...calibration]) assert.ok((occurredAtMs[row] as number) < firstMs);
  const used = train.length + validation.length + calibration.length + holdout.length;
  assert.equal(new Set([...train, ...validation, ...calibration, ...holdout]).size, used, "no row is in two parts");
  assert.ok(Math.abs(holdout.length / used - 0.2) < 0.02);
});

test("validation and calibration are whole stretches of time, a tenth each, spread over all of it", () => {
  const { occurredAtMs, labels } = history(10);
  const { train, validation, calibration } = splitByTime(occurredAtMs, labels, options);
  const older = train.length + validation.length + calibration.length;
  for (const part of [validation, calibration]) {
    assert.ok(Math.abs(part.length / older - 0.1) < 0.02, `${part.length} of ${older}`);
    let stretches = 1;
    for (let index = 1; index < part.length; index += 1) {
      if ((part[index] as number) - (part[index - 1] as number) > 1) stretches += 1;
    }
    assert.equal(stretches, 10);
    const middle = part.filter((row) => row < (train[train.length >> 1] as number)).length;
    assert.ok(Math.abs(middle / part.length - 0.5) < 0.1, "as much of the older half as of the newer");
  }
});

test("no row without a label takes part, and none from the time in which only early labels are known", () => {
  const { occurredAtMs, labels } = history(10);
  const { train, holdout } = splitByTime(occurredAtMs, labels, options);
  for (const row of [...train, ...holdout]) assert.ok(!Number.isNaN(labels[row]));
  assert.ok((occurredAtMs[holdout.at(-1) as number] as number) < AS_OF_MS - 4.5 * HOUR_MS);
});

test("rows whose labels came after the holdout began are left out before it", () => {
  const { occurredAtMs, labels } = history(10);
  const { train, holdout, notes } = splitByTime(occurredAtMs, labels, options);
  const gapMs = (occurredAtMs[holdout[0] as number] as number) - (occurredAtMs[train.at(-1) as number] as number);
  assert.ok(gapMs >= 5 * HOUR_MS, `${gapMs / HOUR_MS} h`);
  assert.ok(notes.some((note) => note.includes("just before the holdout")));
});

test("the gap is as long as labels take, as the history itself shows", () => {
  const { occurredAtMs, labels } = history(10);
  assert.equal(labelGapMs(occurredAtMs, labels, options), 5 * HOUR_MS);
});

test("labels that never come do not lengthen the gap", () => {
  const { occurredAtMs, labels } = history(10);
  const some = labels.map((label, row) => (row % 10 === 0 ? Number.NaN : label));
  assert.equal(labelGapMs(occurredAtMs, some, options), 5 * HOUR_MS);
});

test("labels that are known at once need no gap", () => {
  const { occurredAtMs } = history(10);
  assert.equal(labelGapMs(occurredAtMs, new Float64Array(occurredAtMs.length), options), 0);
});

test("a history shorter than the wait takes the wait, at most 12 hours, as the gap", () => {
  const { occurredAtMs, labels } = history(1);
  assert.equal(labelGapMs(occurredAtMs, labels, options), 12 * HOUR_MS);
  assert.equal(labelGapMs(occurredAtMs, labels, { ...options, waitMs: 2 * DAY_MS }), 12 * HOUR_MS);
});

test("too many rows: of all times some are used, the oldest and the newest too, and the notes say so", () => {
  const { occurredAtMs, labels } = history(10);
  const all = splitByTime(occurredAtMs, labels, options);
  const split = splitByTime(occurredAtMs, labels, { ...options, maxRows: 5_000 });
  const used = split.train.length + split.validation.length + split.calibration.length + split.holdout.length;
  assert.ok(used <= 5_000);
  assert.equal(split.holdout.length, 1_000);
  const timeOf = (row: number | undefined): number => occurredAtMs[row as number] as number;
  assert.ok(timeOf(split.train[0]) - timeOf(all.train[0]) < HOUR_MS);
  assert.ok(timeOf(all.holdout.at(-1)) - timeOf(split.holdout.at(-1)) < HOUR_MS);
  assert.equal(new Set(split.holdout).size, 1_000);
  assert.ok(
    split.notes.some((note) => note.includes("Only 5,000 rows of")),
    split.notes.join("\n"),
  );
});

test("rows out of order are put in order", () => {
  const { occurredAtMs, labels } = history(10);
  const forwards = splitByTime(occurredAtMs, labels, options);
  const backwards = splitByTime(occurredAtMs.toReversed(), labels.toReversed(), options);
  const times = (rows: Uint32Array, column: Float64Array): number[] => Array.from(rows, (row) => column[row] as number);
  assert.deepEqual(times(backwards.holdout, occurredAtMs.toReversed()), times(forwards.holdout, occurredAtMs));
});

test("too few rows, no rows and a single class are refused with a sentence that says which", () => {
  const { occurredAtMs, labels } = history(10);
  const none = new Float64Array(labels.length).fill(Number.NaN);
  assert.throws(() => splitByTime(occurredAtMs, none, options), /Only 0 rows are labelled/);
  assert.throws(() => splitByTime(occurredAtMs, labels, { ...options, maxRows: 100 }), /leaves \d+ for \w+/);
  const ones = labels.map((label) => (Number.isNaN(label) ? label : 1));
  assert.throws(() => splitByTime(occurredAtMs, ones, options), /All .* rows for train have the label 1/);
});
