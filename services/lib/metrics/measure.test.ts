import assert from "node:assert/strict";
import { test } from "node:test";
import {
  areaUnderRoc,
  blocksOf,
  drawBlocks,
  estimateOf,
  gainCurve,
  measureAreaUnderRoc,
  measureBySums,
  precisionRecallCurve,
  randomNumbers,
  reliabilityCurve,
  rocCurve,
  shuffled,
} from "./mod.ts";

const array = (...values: number[]): Float64Array => Float64Array.from(values);

function rowsOf(count: number): { labels: Float64Array; scores: Float64Array } {
  const random = randomNumbers(1);
  const scores = Float64Array.from({ length: count }, () => Math.round(random() * 50) / 50);
  return { scores, labels: scores.map((score) => (random() < score ? 1 : 0)) };
}

test("a measure of drawn stretches is that of the rows written as often as they were drawn", () => {
  const { labels, scores } = rowsOf(500);
  const blocks = blocksOf(500);
  const meanScore = measureBySums(
    blocks,
    1,
    (row, sums) => {
      sums[0] = (sums[0] as number) + (scores[row] as number);
    },
    ([sum = 0], rows) => sum / rows,
  );
  const auc = measureAreaUnderRoc(blocks, labels, scores);
  const samples = drawBlocks(blocks, 5, 7);
  assert.equal(samples.length, 6);
  for (const times of samples) {
    const rows = [...labels.keys()].flatMap((row) =>
      Array.from({ length: times[blocks.blockOf[row] as number] as number }, () => row),
    );
    const pick = (of: Float64Array): Float64Array => Float64Array.from(rows, (row) => of[row] as number);
    assert.ok(Math.abs(auc(times) - areaUnderRoc(pick(labels), pick(scores))) < 1e-12);
    assert.ok(Math.abs(meanScore(times) - pick(scores).reduce((sum, value) => sum + value, 0) / rows.length) < 1e-12);
  }
  assert.deepEqual(drawBlocks(blocks, 5, 7), samples, "the same seed draws the same");
});

test("an interval holds the true mean about as often as it says, and is wider where neighbours are alike", () => {
  const random = randomNumbers(5);
  const trials = 200;
  let inside = 0;
  for (let trial = 0; trial < trials; trial += 1) {
    const values = Float64Array.from({ length: 400 }, random);
    const { lower, upper } = meanEstimate(values);
    if (lower <= 0.5 && upper >= 0.5) inside += 1;
  }
  assert.ok(inside / trials > 0.88 && inside / trials <= 1, `${inside} of ${trials}`);
  const alone = meanEstimate(Float64Array.from({ length: 2_000 }, random));
  let last = 0;
  // Each value comes ten times in a row: a tenth of the evidence.
  const repeated = meanEstimate(
    Float64Array.from({ length: 2_000 }, (_, row) => (row % 10 === 0 ? (last = random()) : last)),
  );
  assert.ok(repeated.upper - repeated.lower > 2 * (alone.upper - alone.lower));
});

function meanEstimate(values: Float64Array) {
  const blocks = blocksOf(values.length);
  const measure = measureBySums(
    blocks,
    1,
    (row, sums) => {
      sums[0] = (sums[0] as number) + (values[row] as number);
    },
    ([sum = 0], rows) => sum / rows,
  );
  return estimateOf(drawBlocks(blocks, 200, 3).map(measure));
}

test("a value that most samples do not have gets no interval", () => {
  const { value, lower, upper } = estimateOf([0.7, ...Array.from({ length: 100 }, () => Number.NaN)]);
  assert.deepEqual([value, lower, upper], [0.7, Number.NaN, Number.NaN]);
});

test("curves go through the points worked out by hand", () => {
  const labels = array(1, 0, 1, 0);
  const scores = array(0.9, 0.6, 0.6, 0.1);
  assert.deepEqual(rocCurve(labels, scores), { x: [0, 0, 0.5, 1], y: [0, 0.5, 1, 1] });
  assert.deepEqual(precisionRecallCurve(labels, scores), { x: [0.5, 1, 1], y: [1, 2 / 3, 0.5] });
  assert.deepEqual(gainCurve(labels, scores), { x: [0, 0.25, 0.75, 1], y: [0, 0.5, 1, 1] });
  const { x, y, rows } = reliabilityCurve(labels, scores);
  assert.deepEqual(
    [x, y, rows],
    [
      [0.1, 0.6, 0.9],
      [0, 0.5, 1],
      [1, 2, 1],
    ],
  );
});

test("a long curve keeps its ends in a hundred points", () => {
  const { scores } = rowsOf(1);
  assert.equal(scores.length, 1);
  const many = Float64Array.from({ length: 5_000 }, (_, row) => row);
  const { x, y } = rocCurve(
    many.map((row) => row % 2),
    many,
  );
  assert.equal(x.length, 101);
  assert.deepEqual([x[0], y[0], x.at(-1), y.at(-1)], [0, 0, 1, 1]);
});

test("a shuffled order has every number once, and the seed says which order", () => {
  const order = shuffled(100, randomNumbers(2));
  assert.deepEqual(
    order.toSorted(),
    Uint32Array.from({ length: 100 }, (_, index) => index),
  );
  assert.notDeepEqual(order, order.toSorted());
  assert.deepEqual(order, shuffled(100, randomNumbers(2)));
});
