import assert from "node:assert/strict";
import { test } from "node:test";
import { logit } from "../logOdds.ts";
import type { Matrix } from "../matrix.ts";
import { LINEAR_DEFAULTS, scoreLinear } from "./linearModel.ts";
import { trainLogistic } from "./logistic.ts";

const UNPENALISED = { ...LINEAR_DEFAULTS, l2: 0 };

/** A feature of 0 and 1, with the given numbers of rows by value and label. */
function table(counts: readonly (readonly [value: number, label: number, count: number])[]): Matrix {
  const rows = counts.flatMap(([value, label, count]) => Array.from({ length: count }, () => [value, label] as const));
  return {
    featureNames: ["f"],
    columns: [Float64Array.from(rows, ([value]) => value)],
    labels: Float64Array.from(rows, ([, label]) => label),
  };
}

const close = (actual: number | undefined, expected: number, tolerance = 1e-6): void =>
  assert.ok(actual !== undefined && Math.abs(actual - expected) < tolerance, `${actual} is not ${expected}`);

test("two groups get exactly their own log odds", () => {
  const model = trainLogistic(
    table([
      [0, 0, 30],
      [0, 1, 10],
      [1, 0, 10],
      [1, 1, 50],
    ]),
    UNPENALISED,
  );
  const [scores = new Float64Array()] = scoreLinear(model, [Float64Array.of(0, 1)]);
  close(scores[0], logit(10 / 40));
  close(scores[1], logit(50 / 60));
});

test("a missing value counts as the mean", () => {
  const matrix = table([
    [0, 0, 30],
    [0, 1, 10],
    [1, 0, 10],
    [1, 1, 50],
  ]);
  const model = trainLogistic(matrix, UNPENALISED);
  const [[missing, mean] = []] = scoreLinear(model, [Float64Array.of(Number.NaN, 0.6)]);
  close(missing, mean as number);
});

test("a row of weight two counts as two rows", () => {
  const repeated = trainLogistic(
    table([
      [0, 0, 6],
      [0, 1, 4],
      [1, 0, 2],
      [1, 1, 8],
    ]),
    LINEAR_DEFAULTS,
  );
  const half = table([
    [0, 0, 3],
    [0, 1, 2],
    [1, 0, 1],
    [1, 1, 4],
  ]);
  const weighted = trainLogistic({ ...half, weights: new Float64Array(10).fill(2) }, LINEAR_DEFAULTS);
  close(weighted.intercepts[0], repeated.intercepts[0] as number, 1e-9);
  close(weighted.weights[0]?.[0], repeated.weights[0]?.[0] as number, 1e-9);
});

test("classes that a line parts give finite weights", () => {
  const matrix = table([
    [0, 0, 50],
    [1, 1, 50],
  ]);
  const model = trainLogistic(matrix, LINEAR_DEFAULTS);
  const weight = model.weights[0]?.[0] ?? 0;
  assert.ok(Number.isFinite(weight) && weight > 1);
  const extreme = trainLogistic(matrix, UNPENALISED);
  assert.ok(Number.isFinite(extreme.weights[0]?.[0]) && Number.isFinite(extreme.intercepts[0]));
});

test("one far value does not throw the iteration off its way", () => {
  const matrix = table([
    [0, 0, 999],
    [0, 1, 100],
    [1e6, 1, 1],
  ]);
  const model = trainLogistic(matrix, LINEAR_DEFAULTS);
  const [scores = new Float64Array()] = scoreLinear(model, matrix.columns);
  close(scores[0], logit(100 / 1_099), 0.01);
});
