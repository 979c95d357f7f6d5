import assert from "node:assert/strict";
import { test } from "node:test";
import { MULTICLASS, rowsOf } from "../rowsForTests.ts";
import { REGRESSION } from "../task.ts";
import { scoreBoostedTrees, trainBoostedTrees } from "./boost.ts";
import { BOOST_DEFAULTS } from "./boostParameters.ts";
import { LOG_LOSS, type Objective, SQUARED_ERROR, softmaxLoss } from "./objective.ts";

const array = (...values: number[]): Float64Array => Float64Array.from(values);
const close = (actual: number | undefined, expected: number, tolerance = 1e-9): void =>
  assert.ok(actual !== undefined && Math.abs(actual - expected) < tolerance, `${actual} is not ${expected}`);

for (const { name, objective, labels } of [
  { name: "log loss", objective: LOG_LOSS, labels: array(0, 1, 1) },
  { name: "squared error", objective: SQUARED_ERROR, labels: array(-2, 0.5, 7) },
  { name: "softmax loss", objective: softmaxLoss(3), labels: array(2, 0, 1) },
] satisfies readonly { name: string; objective: Objective; labels: Float64Array }[]) {
  test(`the gradient of the ${name} is its slope, row by row and output by output`, () => {
    const weights = array(1, 2, 0.5);
    const rows = { labels, weights };
    const total = 3.5;
    const scores = Array.from({ length: objective.outputs }, (_, output) => array(0.3, -1.1, 0.4 + output));
    for (const [output, own] of scores.entries()) {
      const derivatives = new Float64Array(6);
      objective.derive(rows, scores, 0, new Float64Array(6));
      objective.derive(rows, scores, output, derivatives);
      for (let row = 0; row < 3; row += 1) {
        const at = own[row] as number;
        const lossAt = (score: number): number => {
          own[row] = score;
          const loss = objective.loss(rows, scores) * total;
          own[row] = at;
          return loss;
        };
        close(derivatives[2 * row], (lossAt(at + 1e-5) - lossAt(at - 1e-5)) / 2e-5, 1e-6);
        assert.ok((derivatives[2 * row + 1] as number) > 0);
      }
    }
  });
}

test("a stump of the squared error has the mean of each side, shrunk by the penalty as worked out by hand", async () => {
  // Mean 5; gradients 5, 5, -5, -5; left value -10 / (2 + 1).
  const matrix = { featureNames: ["f"], columns: [array(1, 2, 3, 4)], labels: array(0, 0, 10, 10) };
  const stump = { ...BOOST_DEFAULTS, trees: 1, maxDepth: 1, learningRate: 1, minChildWeight: 0 };
  const { trees, baseScores } = await trainBoostedTrees(matrix, undefined, stump, { objective: SQUARED_ERROR });
  assert.deepEqual([...baseScores], [5]);
  assert.equal(trees[0]?.threshold[0], 2.5);
  assert.deepEqual(trees[0].value.slice(1), [Math.fround(-10 / 3), Math.fround(10 / 3)]);
});

test("the first round of three classes has the values worked out by hand", async () => {
  // Two rows of each class: every probability is 1/3, so of class 0 the gradients are -2/3 and 1/3, every hessian 2 * 1/3 * 2/3 = 4/9.
  const matrix = { featureNames: ["f"], columns: [array(1, 1, 2, 2, 3, 3)], labels: array(0, 0, 1, 1, 2, 2) };
  const stump = { ...BOOST_DEFAULTS, trees: 1, maxDepth: 1, learningRate: 1, minChildWeight: 0 };
  const { trees, baseScores } = await trainBoostedTrees(matrix, undefined, stump, { objective: softmaxLoss(3) });
  assert.equal(trees.length, 3, "one tree for each class");
  for (const score of baseScores) close(score, Math.log(1 / 3), 1e-7);
  const [first] = trees;
  assert.equal(first?.threshold[0], 1.5);
  close(first.value[1], Math.fround(4 / 3 / (8 / 9 + 1)), 1e-6);
  close(first.value[2], Math.fround(-4 / 3 / (16 / 9 + 1)), 1e-6);
});

test("each round lowers the loss of its own rows, of numbers and of classes, the same on any number of threads", async () => {
  for (const [task, objective] of [
    [REGRESSION, SQUARED_ERROR],
    [MULTICLASS, softmaxLoss(3)],
  ] as const) {
    const matrix = rowsOf(task, 1_200);
    const losses: number[] = [];
    const parameters = { ...BOOST_DEFAULTS, trees: 8, maxDepth: 4, earlyStopping: 0 };
    const onTree = (_: number, loss: number | undefined): unknown => losses.push(loss ?? Number.NaN);
    const alone = await trainBoostedTrees(matrix, matrix, parameters, { objective, onTree });
    const shared = await trainBoostedTrees(matrix, undefined, parameters, { objective, threads: 2, worthWaking: 0 });
    assert.deepEqual(shared.trees, alone.trees);
    assert.deepEqual(
      losses,
      losses.toSorted((left, right) => right - left),
    );
    close(objective.loss(matrix, scoreBoostedTrees(alone, matrix.columns)), losses.at(-1) as number);
  }
});

test("of numbers and classes too, a row of weight two counts as two rows", async () => {
  for (const [task, objective] of [
    [REGRESSION, SQUARED_ERROR],
    [MULTICLASS, softmaxLoss(3)],
  ] as const) {
    const half = rowsOf(task, 200);
    const twice = {
      ...half,
      columns: half.columns.map((column) => Float64Array.of(...column, ...column)),
      labels: Float64Array.of(...half.labels, ...half.labels),
    };
    const weighted = { ...half, weights: new Float64Array(200).fill(2) };
    const parameters = { ...BOOST_DEFAULTS, trees: 4, maxDepth: 3 };
    const [one, other] = [
      await trainBoostedTrees(twice, undefined, parameters, { objective }),
      await trainBoostedTrees(weighted, undefined, parameters, { objective }),
    ];
    const [scores, others] = [scoreBoostedTrees(one, half.columns), scoreBoostedTrees(other, half.columns)];
    for (const [output, own] of scores.entries()) {
      for (const [row, score] of own.entries()) close(score, others[output]?.[row] as number, 1e-6);
    }
  }
});
