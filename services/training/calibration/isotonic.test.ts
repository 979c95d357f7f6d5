import assert from "node:assert/strict";
import { test } from "node:test";
import { type Block, fitIsotonic, isotonicProbability, poolAdjacentViolators } from "./isotonic.ts";

const shares = (blocks: readonly Block[]): number[] => blocks.map(({ positives, weight }) => positives / weight);
const blocksOf = (labels: readonly number[], weights: readonly number[] = labels.map(() => 1)): Block[] =>
  labels.map((label, index) => {
    const weight = weights[index] as number;
    return { weight, positives: weight * label, scoreSum: weight * index };
  });

test("pooling gives the rising shares worked out by hand", () => {
  // 1 and 0 pool to 1/2; the 0 after them would fall again, so all three pool to 1/3; then 1, 0 pool to 1/2, and 1 stays.
  assert.deepEqual(shares(poolAdjacentViolators(blocksOf([0, 1, 0, 0, 1, 0, 1]))), [0, 1 / 3, 1 / 2, 1]);
});

test("a block's weight counts in its pool", () => {
  assert.deepEqual(shares(poolAdjacentViolators(blocksOf([1, 0], [3, 1]))), [0.75]);
});

/** `count` rows at each score, of which `positives` are of label 1. */
function rowsOf(groups: readonly { score: number; positives: number; count: number }[]) {
  const scores = groups.flatMap(({ score, count }) => Array.from({ length: count }, () => score));
  const labels = groups.flatMap(({ positives, count }) =>
    Array.from({ length: count }, (_, index) => (index < positives ? 1 : 0)),
  );
  return { scores: Float64Array.from(scores), labels: Float64Array.from(labels) };
}

test("the line goes through the share of each score, rises between them and is flat outside", () => {
  const groups = [
    { score: -2, positives: 20, count: 100 },
    { score: 0, positives: 40, count: 100 },
    { score: 2, positives: 80, count: 100 },
  ];
  const line = fitIsotonic(rowsOf(groups));
  assert.ok(line !== undefined);
  for (const [score, probability] of [
    [-9, 0.2],
    [-2, 0.2],
    [-1, 0.3],
    [0, 0.4],
    [1, 0.6],
    [2, 0.8],
    [9, 0.8],
  ] as const) {
    assert.ok(Math.abs(isotonicProbability(line, score) - probability) < 1e-6, `at ${score}`);
  }
});

test("nothing is certain: a block of one class only keeps a doubt of its size", () => {
  const groups = [
    { score: -1, positives: 0, count: 98 },
    { score: 1, positives: 198, count: 198 },
  ];
  const line = fitIsotonic(rowsOf(groups));
  assert.deepEqual(line?.probabilities, [Math.fround(1 / 100), Math.fround(1 - 1 / 200)]);
});

test("few rows make no knot of their own", () => {
  const groups = [
    { score: -1, positives: 10, count: 100 },
    { score: 0, positives: 10, count: 10 },
    { score: 1, positives: 95, count: 100 },
  ];
  assert.equal(fitIsotonic(rowsOf(groups))?.scores.length, 2);
});

test("scores that say nothing give no line", () => {
  const groups = [
    { score: -1, positives: 50, count: 100 },
    { score: 1, positives: 40, count: 100 },
  ];
  assert.equal(fitIsotonic(rowsOf(groups)), undefined);
});

test("two scores that are all but equal share one knot, whatever happened", () => {
  const groups = [
    { score: 0, positives: 10, count: 100 },
    { score: 1e-6, positives: 90, count: 100 },
    { score: 1, positives: 95, count: 100 },
  ];
  assert.equal(fitIsotonic(rowsOf(groups))?.scores.length, 2);
});
