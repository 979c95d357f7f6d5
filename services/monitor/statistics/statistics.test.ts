import assert from "node:assert/strict";
import { test } from "node:test";
import { populationStability } from "@millrace/metrics";
import { twoSampleChiSquare } from "./binnedDistances.ts";
import { benjaminiHochberg, largerShare } from "./significance.ts";
import { chiSquareTail, normalTail } from "./specialFunctions.ts";
import { TruthSketch } from "./truthSketch.ts";

const near = (actual: number, expected: number, tolerance: number, what = ""): void =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what} ${actual} is not ${expected} (within ${tolerance})`);

test("tails of the chi-square distribution are those of its closed forms and of printed tables", () => {
  // With 2 degrees of freedom exp(-x/2), with 4 exp(-x/2) (1 + x/2).
  for (const x of [0.01, 0.5, 1, 3, 10, 50, 200]) {
    near(chiSquareTail(x, 2) / Math.exp(-x / 2), 1, 1e-11, `df 2, ${x}:`);
    near(chiSquareTail(x, 4) / (Math.exp(-x / 2) * (1 + x / 2)), 1, 1e-11, `df 4, ${x}:`);
  }
  // NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4: upper critical values, to three decimals.
  for (const [x, degrees, tail] of [
    [3.841, 1, 0.05],
    [16.919, 9, 0.05],
    [21.666, 9, 0.01],
    [29.588, 10, 0.001],
  ] as const) {
    near(chiSquareTail(x, degrees), tail, tail * 2e-3, `df ${degrees}, ${x}:`);
  }
});

test("tails of the normal distribution are those of printed tables", () => {
  near(normalTail(0), 0.5, 1e-15);
  near(normalTail(1.959963984540054), 0.025, 1e-12);
  near(normalTail(-1.959963984540054), 0.975, 1e-12);
  near(normalTail(3.090232306167813), 0.001, 1e-12);
});

test("population stability: nothing for the same shares, and as calculated by hand for others", () => {
  assert.equal(populationStability(Float64Array.of(25, 50, 25), [0.25, 0.5, 0.25]), 0);
  const expected = (0.5 - 0.25) * Math.log(0.5 / 0.25) + (0.25 - 0.5) * Math.log(0.25 / 0.5);
  near(populationStability(Float64Array.of(50, 25, 25), [0.25, 0.5, 0.25]), expected, 1e-15);
  assert.ok(Number.isFinite(populationStability(Float64Array.of(100, 0), [0, 1])));
});

test("the two-sample chi-square test equals Pearson's on the 2 x k table", () => {
  const first = Float64Array.of(10, 20, 30);
  const second = Float64Array.of(30, 40, 20);
  let statistic = 0;
  for (const [row, total] of [
    [first, 60],
    [second, 90],
  ] as const) {
    row.forEach((count, bin) => {
      const expected = (((first[bin] as number) + (second[bin] as number)) * total) / 150;
      statistic += (count - expected) ** 2 / expected;
    });
  }
  near(twoSampleChiSquare(first, second), Math.exp(-statistic / 2), 1e-12);
  assert.equal(twoSampleChiSquare(Float64Array.of(5, 0), Float64Array.of(9, 0)), 1);
});

test("the test of two shares is one-sided and pooled", () => {
  const pooled = 45 / 200;
  const z = (0.3 - 0.15) / Math.sqrt(pooled * (1 - pooled) * (2 / 100));
  near(largerShare(30, 100, 15, 100), normalTail(z), 1e-15);
  assert.equal(largerShare(0, 100, 0, 100), 1);
});

test("Benjamini and Hochberg's own example: 15 p-values, four of them found at 0.05", () => {
  const pValues = [
    0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.324, 0.4262, 0.5719, 0.6528, 0.759, 1,
  ];
  const found = benjaminiHochberg(pValues, 0.05);
  assert.deepEqual(
    found,
    pValues.map((_, index) => index < 4),
  );
});

test("live performance from sums equals that of the rows themselves", () => {
  const rows = Array.from({ length: 2_000 }, (_, index) => {
    const probability = ((index * 7919) % 1_999) / 1_999;
    return { probability, label: (index * 104_729) % 1_000 < 1_000 * probability ** 2 ? 1 : 0 };
  });
  const sketch = new TruthSketch();
  for (const { probability, label } of rows) sketch.add(probability, label);
  const safe = (p: number): number => Math.min(Math.max(p, 1e-15), 1 - 1e-15);
  const loss = rows.map(({ probability: p, label }) => -Math.log(label === 1 ? safe(p) : 1 - safe(p)));
  near(sketch.logLoss, loss.reduce((a, b) => a + b) / rows.length, 1e-9);
  near(
    sketch.brier,
    rows.reduce((sum, { probability, label }) => sum + (probability - label) ** 2, 0) / rows.length,
    1e-12,
  );
  const [positives, negatives] = [rows.filter(({ label }) => label === 1), rows.filter(({ label }) => label === 0)];
  let pairs = 0;
  for (const good of positives) {
    for (const bad of negatives)
      pairs += good.probability > bad.probability ? 1 : good.probability === bad.probability ? 0.5 : 0;
  }
  near(sketch.auc, pairs / (positives.length * negatives.length), 0.003);
  // Of p evenly spread and a truth of p²: the mean of p - p² is 1/6, and that of the entropy 1/2.
  near(sketch.calibrationError, 1 / 6, 0.01);
  near(sketch.expectedLogLoss, 0.5, 0.01);
});

test("of numbers the errors are summed, of classes the probability of what came true and whether that was predicted", () => {
  const numbers = new TruthSketch();
  for (const error of [3, -4, 100]) numbers.addError(error);
  numbers.addError(100, -1);
  near(numbers.rmse, Math.sqrt(12.5), 1e-12);
  near(numbers.mae, 3.5, 1e-12);
  const classes = new TruthSketch();
  for (const [probability, right] of [
    [0.5, true],
    [0.25, false],
    [0, false],
    [0.1, false],
  ] as const)
    classes.addClass(probability, right);
  classes.addClass(0, false, -1);
  near(classes.logLoss, (Math.log(2) + Math.log(4) + Math.log(10)) / 3, 1e-12);
  near(classes.accuracy, 1 / 3, 1e-12);
});

test("what was added and taken out again leaves nothing behind", () => {
  const sketch = new TruthSketch();
  sketch.add(0.3, 1);
  sketch.add(0.9, 0);
  sketch.add(0.9, 0, -1);
  near(sketch.logLoss, -Math.log(0.3), 1e-12);
  assert.equal(sketch.count, 1);
});
