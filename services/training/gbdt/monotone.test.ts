import assert from "node:assert/strict";
import { test } from "node:test";
import { randomNumbers } from "@millrace/metrics";
import type { Matrix } from "../matrix.ts";
import { BINARY, REGRESSION, type Task } from "../task.ts";
import { scoreBoostedTrees, trainBoostedTrees } from "./boost.ts";
import { BOOST_DEFAULTS } from "./boostParameters.ts";
import type { Directions } from "./grow.ts";
import { FEATURE_WIDTH } from "./histogram.ts";
import { objectiveOf } from "./objective.ts";
import { bestSplit } from "./split.ts";

/** Labels go up and down with `x` and depend on two others; a tenth of all values is missing. */
function wavy(task: Task, rows: number, seed: number): Matrix {
  const random = randomNumbers(seed);
  const columns = [0, 1, 2].map(() =>
    Float64Array.from({ length: rows }, () => (random() < 0.1 ? Number.NaN : Math.round(random() * 40) / 4)),
  );
  const labels = Float64Array.from({ length: rows }, (_, row) => {
    const [x = 0, y = 0] = columns.map((column) => column[row] || 0);
    const score = Math.sin(x) + x / 10 + Math.cos(y * x) / 2 + random() - 0.8;
    return task.kind === "binary" ? (random() < 1 / (1 + Math.exp(-3 * score)) ? 1 : 0) : score;
  });
  return { featureNames: ["x", "y", "z"], columns, labels };
}

/** The largest step the wrong way of the score along feature 0, over random values of the others. */
async function largestViolation(task: Task, monotone: Directions, seed: number): Promise<number> {
  const matrix = wavy(task, 1_500, seed);
  const objective = objectiveOf(task);
  const model = await trainBoostedTrees(matrix, undefined, { ...BOOST_DEFAULTS, trees: 30 }, { objective, monotone });
  const random = randomNumbers(seed + 1_000);
  let largest = 0;
  for (let probe = 0; probe < 60; probe += 1) {
    const others = [0, 1].map(() => (random() < 0.2 ? Number.NaN : random() * 10));
    const xs = Float64Array.from({ length: 100 }, (_, index) => index / 9 - 0.5);
    const columns = [xs, ...others.map((value) => new Float64Array(100).fill(value))];
    const [scores = new Float64Array()] = scoreBoostedTrees(model, columns);
    for (let index = 1; index < scores.length; index += 1) {
      const step = (scores[index] as number) - (scores[index - 1] as number);
      largest = Math.max(largest, -step * (monotone[0] as number));
    }
  }
  return largest;
}

test("a score never moves against its feature's direction, whatever the others are", async () => {
  for (const task of [BINARY, REGRESSION]) {
    for (const [seed, direction] of [
      [1, 1],
      [2, -1],
      [3, 1],
    ] as const) {
      // Sums of float32 leaves are exact enough in float64: the constraint holds to the last bit but rounding.
      assert.ok((await largestViolation(task, [direction, 0, 0], seed)) < 1e-9, `${task.kind}, seed ${seed}`);
    }
  }
});

test("the same rows without the constraint do move against it", async () => {
  const matrix = wavy(REGRESSION, 1_500, 1);
  const free = await trainBoostedTrees(matrix, undefined, BOOST_DEFAULTS, { objective: objectiveOf(REGRESSION) });
  const xs = Float64Array.from({ length: 100 }, (_, index) => index / 10);
  const [scores = new Float64Array()] = scoreBoostedTrees(free, [xs, xs.map(() => 5), xs.map(() => 5)]);
  assert.ok(scores.some((score, index) => index > 0 && score < (scores[index - 1] as number) - 0.1));
});

test("a split the wrong way is not made, and within bounds the gain is that of the bounded values", () => {
  // Left G = 1, H = 1; right G = -1, H = 1; lambda 1: best values -1/2 and 1/2, which rise.
  const histogram = new Float64Array(FEATURE_WIDTH);
  histogram.set([1, 1, -1, 1]);
  const rules = { lambda: 1, minChildWeight: 0, minGain: 0 };
  const node = { gradient: 0, hessian: 2 };
  const splitWith = (monotone: -1 | 0 | 1, bounds: { lower: number; upper: number }) =>
    bestSplit(histogram, [{ edges: 1, hasMissing: false, monotone }], node, rules, { bounds });
  const free = { lower: -Infinity, upper: Infinity };
  assert.equal(splitWith(1, free)?.gain, 0.5);
  assert.equal(splitWith(-1, free), undefined);
  // The right value is held to 1/4: score -(2 * -1 * 1/4 + 2 * 1/16) = 3/8 instead of 1/2.
  assert.equal(splitWith(1, { lower: -Infinity, upper: 0.25 })?.gain, (0.5 + 0.375) / 2);
});

test("only the features that a tree may use are split, others for other trees, and the seed says which", async () => {
  const matrix = wavy(BINARY, 600, 4);
  const parameters = { ...BOOST_DEFAULTS, trees: 12, featureShare: 0.34 };
  const train = (seed: number) => trainBoostedTrees(matrix, undefined, parameters, { seed });
  const [first, again, other] = [await train(1), await train(1), await train(2)];
  const used = first.trees.map(({ feature }) => new Set(feature.filter((index) => index >= 0)));
  assert.ok(used.every((features) => features.size <= 1));
  assert.ok(new Set(used.flatMap((features) => [...features])).size > 1);
  assert.deepEqual(again, first);
  assert.notDeepEqual(other.trees, first.trees);
});
