import assert from "node:assert/strict";
import { test } from "node:test";
import { LINEAR_DEFAULTS, scoreLinear } from "./linearModel.ts";
import { trainLinearRegression } from "./linearRegression.ts";
import { minimise } from "./minimise.ts";
import { trainSoftmax } from "./softmax.ts";

const UNPENALISED = { ...LINEAR_DEFAULTS, l2: 0 };
const array = (...values: number[]): Float64Array => Float64Array.from(values);
const close = (actual: number | undefined, expected: number, tolerance = 1e-6): void =>
  assert.ok(actual !== undefined && Math.abs(actual - expected) < tolerance, `${actual} is not ${expected}`);

test("a plane is found again, and a missing value counts as the mean", () => {
  const x = array(0, 1, 2, 3, 4, 5, 6, 7);
  const y = array(5, 1, 4, 2, 8, 0, 3, 1);
  const labels = x.map((value, row) => 3 * value - 2 * (y[row] as number) + 1_000);
  const model = trainLinearRegression({ featureNames: ["x", "y"], columns: [x, y], labels }, UNPENALISED);
  const [scores = array()] = scoreLinear(model, [array(10, Number.NaN), array(10, 0)]);
  close(scores[0], 1_010, 1e-4);
  close(scores[1], 3 * 3.5 + 1_000, 1e-4);
});

test("the penalty shrinks a standardised weight as worked out by hand", () => {
  // x is ±1 and y is ±2: weight 2 n / (n + l2 n) = 2 / (1 + l2).
  const matrix = { featureNames: ["x"], columns: [array(-1, 1, -1, 1)], labels: array(-2, 2, -2, 2) };
  close(trainLinearRegression(matrix, { ...LINEAR_DEFAULTS, l2: 0.25 }).weights[0]?.[0], 2 / 1.25);
});

test("a row of weight two counts as two rows, of numbers and of classes", () => {
  const x = array(0, 1, 2, 3, 4, 5);
  const twice = (values: Float64Array): Float64Array => Float64Array.of(...values, ...values);
  const weights = new Float64Array(6).fill(2);
  for (const [labels, train] of [
    [array(3, 1, 4, 1, 5, 9), trainLinearRegression],
    [array(0, 1, 0, 2, 1, 2), (matrix, parameters) => trainSoftmax(matrix, 3, parameters)],
  ] as const satisfies readonly (readonly [Float64Array, typeof trainLinearRegression])[]) {
    const repeated = train({ featureNames: ["x"], columns: [twice(x)], labels: twice(labels) }, LINEAR_DEFAULTS);
    const weighted = train({ featureNames: ["x"], columns: [x], labels, weights }, LINEAR_DEFAULTS);
    for (const [output, own] of weighted.weights.entries()) {
      close(own[0], repeated.weights[output]?.[0] as number, 1e-5);
      close(weighted.intercepts[output], repeated.intercepts[output] as number, 1e-5);
    }
  }
});

test("groups get exactly their own shares of the classes", () => {
  // A flag splits the rows in two groups: 6, 3, 1 and 2, 2, 4 of the classes.
  const groups = [
    [6, 3, 1],
    [2, 2, 4],
  ];
  const rows = groups.flatMap((counts, group) =>
    counts.flatMap((count, label) => Array.from({ length: count }, () => [group, label] as const)),
  );
  const matrix = {
    featureNames: ["group"],
    columns: [Float64Array.from(rows, ([group]) => group)],
    labels: Float64Array.from(rows, ([, label]) => label),
  };
  const scores = scoreLinear(trainSoftmax(matrix, 3, UNPENALISED), [array(0, 1)]);
  for (const [group, counts] of groups.entries()) {
    const total = scores.reduce((sum, own) => sum + Math.exp(own[group] as number), 0);
    const all = counts.reduce((sum, count) => sum + count, 0);
    for (const [label, count] of counts.entries()) {
      close(Math.exp(scores[label]?.[group] as number) / total, count / all, 1e-4);
    }
  }
});

test("a narrow valley is followed to its lowest point", () => {
  const rosenbrock = ([x = 0, y = 0]: Float64Array) => ({
    value: (1 - x) ** 2 + 100 * (y - x * x) ** 2,
    gradient: array(-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)),
  });
  const [x, y] = minimise(rosenbrock, array(-1.2, 1), { maxIterations: 200 });
  close(x, 1, 1e-4);
  close(y, 1, 1e-4);
});
