import assert from "node:assert/strict";
import { test } from "node:test";
import { randomNumbers } from "@millrace/metrics";
import type { Matrix } from "../matrix.ts";
import { type BoostedTrees, scoreBoostedTrees, trainBoostedTrees } from "./boost.ts";
import { BOOST_DEFAULTS, type BoostParameters } from "./boostParameters.ts";
import { FEATURE_WIDTH } from "./histogram.ts";
import { LOG_LOSS } from "./objective.ts";
import { bestSplit } from "./split.ts";

const ONE_STUMP: BoostParameters = { ...BOOST_DEFAULTS, trees: 1, maxDepth: 1, learningRate: 1, minChildWeight: 0 };

function matrixOf(
  columns: readonly (readonly number[])[],
  labels: readonly number[],
  weights?: readonly number[],
): Matrix {
  return {
    featureNames: columns.map((_, index) => `f${index}`),
    columns: columns.map((column) => Float64Array.from(column)),
    labels: Float64Array.from(labels),
    ...(weights === undefined ? {} : { weights: Float64Array.from(weights) }),
  };
}

/** Of a model with one output. */
const scoresOf = (model: BoostedTrees, { columns }: Matrix): Float64Array =>
  scoreBoostedTrees(model, columns)[0] as Float64Array;

function randomMatrix(rows: number, seed: number): Matrix {
  const random = randomNumbers(seed);
  const columns = [0, 1, 2].map(() =>
    Array.from({ length: rows }, () => (random() < 0.1 ? Number.NaN : random() * 10)),
  );
  const labels = Array.from({ length: rows }, (_, row) => {
    const score = ((columns[0]?.[row] || 0) > 5 ? 1 : -1) + ((columns[1]?.[row] || 0) - 5) / 3;
    return random() < 1 / (1 + Math.exp(-score)) ? 1 : 0;
  });
  return matrixOf(columns, labels);
}

test("a stump splits where the classes part, and its leaves have the values worked out by hand", async () => {
  // Base rate 1/2: every gradient is +-1/2, every hessian 1/4. Left of 2.5: G = 2 * 1/2, H = 2 * 1/4, lambda 1.
  const matrix = matrixOf([[1, 2, 3, 4]], [0, 0, 1, 1]);
  const { trees, baseScores } = await trainBoostedTrees(matrix, undefined, ONE_STUMP);
  assert.deepEqual([...baseScores], [0]);
  const [tree] = trees;
  assert.deepEqual(tree?.feature, [0, -1, -1]);
  assert.equal(tree?.threshold[0], 2.5);
  assert.equal(tree?.value[1], Math.fround(-1 / 1.5));
  assert.equal(tree?.value[2], Math.fround(1 / 1.5));
});

test("the feature that tells more is split, and gets all of the importance", async () => {
  const matrix = matrixOf(
    [
      [1, 2, 1, 2, 1, 2],
      [1, 1, 1, 2, 2, 2],
    ],
    [0, 0, 0, 1, 1, 1],
  );
  const { trees, importance } = await trainBoostedTrees(matrix, undefined, ONE_STUMP);
  assert.equal(trees[0]?.feature[0], 1);
  assert.deepEqual([...importance], [0, 1]);
});

test("rows with a missing value go to the side that they resemble", async () => {
  for (const [missingLabel, side] of [
    [0, true],
    [1, false],
  ] as const) {
    const matrix = matrixOf([[1, 2, 3, 4, Number.NaN, Number.NaN]], [0, 0, 1, 1, missingLabel, missingLabel]);
    const { trees } = await trainBoostedTrees(matrix, undefined, ONE_STUMP);
    assert.equal(trees[0]?.missingLeft[0], side);
    const scores = scoresOf({ trees, baseScores: Float64Array.of(0), importance: new Float64Array() }, matrix);
    assert.equal(scores[4], scores[missingLabel === 0 ? 0 : 2]);
  }
});

test("a row of weight two counts as two rows", async () => {
  const weighted = await trainBoostedTrees(matrixOf([[1, 2, 3, 4]], [0, 1, 1, 0], [2, 1, 1, 2]), undefined, ONE_STUMP);
  const repeated = await trainBoostedTrees(matrixOf([[1, 1, 2, 3, 4, 4]], [0, 0, 1, 1, 0, 0]), undefined, ONE_STUMP);
  assert.deepEqual(weighted, repeated);
});

test("the gain of a split is the one worked out by hand", () => {
  // Gradients -+1/2, hessians 1/4: left G = 1, H = 1/2; right G = -1, H = 1/2; lambda 1. (1/1.5 + 1/1.5 - 0) / 2.
  const histogram = new Float64Array(FEATURE_WIDTH);
  histogram.set([1, 0.5, -1, 0.5]);
  const rules = { lambda: 1, minChildWeight: 0, minGain: 0 };
  const node = { gradient: 0, hessian: 1 };
  const split = bestSplit(histogram, [{ edges: 1, hasMissing: false }], node, rules);
  assert.equal(split?.gain, 2 / 1.5 / 2);
  assert.equal(bestSplit(histogram, [{ edges: 1, hasMissing: false }], node, { ...rules, minGain: 0.7 }), undefined);
});

test("where nothing was missing in training, a missing value goes where most rows go", async () => {
  const matrix = matrixOf([[1, 2, 3, 4, 5, 6]], [0, 0, 1, 1, 1, 1]);
  const { trees } = await trainBoostedTrees(matrix, undefined, ONE_STUMP);
  assert.equal(trees[0]?.missingLeft[0], false);
});

test("the scores that boosting goes on from are those that the finished trees give", async () => {
  const matrix = randomMatrix(2_000, 6);
  const loss = async (trees: number): Promise<number[]> => {
    const losses: number[] = [];
    const parameters = { ...BOOST_DEFAULTS, trees, maxDepth: 4, earlyStopping: 0 };
    const onTree = (_: number, value: number | undefined): unknown => losses.push(value ?? Number.NaN);
    const model = await trainBoostedTrees(matrix, matrix, parameters, { onTree });
    const scores = scoresOf(model, matrix);
    assert.ok(Math.abs((losses.at(-1) as number) - LOG_LOSS.loss(matrix, [scores])) < 1e-12);
    return losses;
  };
  // On the rows that it is trained on, every tree makes the loss smaller.
  const losses = await loss(30);
  for (const [index, value] of losses.slice(1).entries())
    assert.ok(value < (losses[index] as number), `tree ${index + 2}`);
});

test("without rows to validate on, every tree is kept", async () => {
  const empty = matrixOf([[], [], []], []);
  const { trees } = await trainBoostedTrees(randomMatrix(300, 7), empty, { ...BOOST_DEFAULTS, trees: 40 });
  assert.equal(trees.length, 40);
});

test("a thousand rows of weight zero change nothing", async () => {
  const matrix = randomMatrix(500, 8);
  const noise = randomMatrix(1_500, 8);
  const weights = Float64Array.from({ length: 1_500 }, (_, row) => (row < 500 ? 1 : 0));
  const columns = noise.columns.map((column, index) => {
    const values = matrix.columns[index] as Float64Array;
    return column.map((_, row) => values[row % 500] as number);
  });
  const labels = noise.labels.map((label, row) => (row < 500 ? (matrix.labels[row] as number) : label));
  const parameters = { ...BOOST_DEFAULTS, trees: 5 };
  const [plain, weighted] = [
    await trainBoostedTrees(matrix, undefined, parameters),
    await trainBoostedTrees({ ...noise, columns, labels, weights }, undefined, parameters),
  ];
  const [own, other] = [scoresOf(plain, matrix), scoresOf(weighted, matrix)];
  for (let row = 0; row < 500; row += 1) assert.ok(Math.abs((own[row] as number) - (other[row] as number)) < 1e-6);
});

test("the same trees grow on any number of threads", async () => {
  const matrix = randomMatrix(3_000, 1);
  const parameters = { ...BOOST_DEFAULTS, trees: 5 };
  const alone = await trainBoostedTrees(matrix, undefined, parameters, { threads: 1 });
  const shared = await trainBoostedTrees(matrix, undefined, parameters, { threads: 3, worthWaking: 500 });
  assert.deepEqual(shared.trees, alone.trees);
});

test("boosting stops when the validation's loss no longer falls, and keeps the best trees", async () => {
  const parameters = { ...BOOST_DEFAULTS, trees: 400, learningRate: 0.5, earlyStopping: 5 };
  const { trees } = await trainBoostedTrees(randomMatrix(500, 2), randomMatrix(500, 3), parameters);
  assert.ok(trees.length > 0 && trees.length < 100, `${trees.length} trees`);
});

test("no child is lighter than asked, and no tree deeper", async () => {
  const matrix = randomMatrix(2_000, 4);
  const { trees } = await trainBoostedTrees(matrix, undefined, { ...BOOST_DEFAULTS, trees: 3, maxDepth: 2 });
  for (const tree of trees) assert.ok(tree.feature.length <= 7);
  const heavy = await trainBoostedTrees(matrix, undefined, { ...BOOST_DEFAULTS, trees: 1, minChildWeight: 1e9 });
  assert.deepEqual(heavy.trees[0]?.feature, [-1]);
});

test("a training that is cancelled ends", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(trainBoostedTrees(randomMatrix(100, 5), undefined, BOOST_DEFAULTS, { signal }), /enough/);
});
