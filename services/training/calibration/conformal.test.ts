import assert from "node:assert/strict";
import { test } from "node:test";
import { randomNumbers } from "@millrace/metrics";
import { classProbabilities, fitClassCalibration, uncalibrated } from "./classCalibration.ts";
import { intervalOffsets, predictionSets, setThreshold } from "./conformal.ts";

const array = (...values: number[]): Float64Array => Float64Array.from(values);

test("of 19 residuals, the smallest and the largest lie outside an interval for 90 %", () => {
  const residuals = Float64Array.from({ length: 19 }, (_, index) => ((index * 7) % 19) - 5);
  assert.deepEqual(intervalOffsets(residuals, 0.9), { below: -5, above: 13 });
  assert.throws(() => intervalOffsets(residuals.subarray(1), 0.9), {
    code: "failed_precondition",
    message: /90 % .* from 18 calibration rows; it needs 19/,
  });
});

test("of 9 probabilities of the truth, the smallest is the threshold for 90 %, and fewer let every class in", () => {
  const ofTruth = Float64Array.from({ length: 9 }, (_, index) => (index + 1) / 10);
  assert.ok(setThreshold(ofTruth, 0.9) <= 0.1 && setThreshold(ofTruth, 0.9) > 0.0999);
  assert.equal(setThreshold(ofTruth.subarray(1), 0.9), 0);
});

test("a set holds the classes with the threshold, and the most probable one in any case", () => {
  const sets = predictionSets([array(0.5, 0.2), array(0.3, 0.3), array(0.2, 0.5)], 0.6);
  assert.deepEqual(
    sets.map((set) => [...set]),
    [
      [1, 0],
      [0, 0],
      [0, 1],
    ],
  );
  assert.deepEqual(
    predictionSets([array(0.5), array(0.3), array(0.2)], 0.3).map((set) => set[0]),
    [1, 1, 0],
  );
});

test("fresh truths lie inside an interval as often as stated", () => {
  const random = randomNumbers(3);
  const skewed = (): number => -Math.log(1 - random()) * 10;
  const { below, above } = intervalOffsets(Float64Array.from({ length: 20_000 }, skewed), 0.8);
  const fresh = Float64Array.from({ length: 20_000 }, skewed);
  const inside = fresh.filter((value) => value >= below && value <= above).length / fresh.length;
  assert.ok(Math.abs(inside - 0.8) < 0.015, `${inside}`);
});

/** Scores of three classes that are `sharpness` times as sure as they should be. */
function overconfident(rows: number, sharpness: number) {
  const random = randomNumbers(5);
  const scores = [0, 1, 2].map(() => Float64Array.from({ length: rows }, () => random() * 4 - 2));
  const labels = Float64Array.from({ length: rows }, (_, row) => {
    const weights = scores.map((own) => Math.exp(own[row] as number));
    let rest = random() * weights.reduce((sum, weight) => sum + weight, 0);
    return weights.findIndex((weight) => (rest -= weight) < 0);
  });
  return { scores: scores.map((own) => own.map((score) => score * sharpness)), labels };
}

test("scores that are three times too sure are cooled down again", () => {
  const rows = overconfident(4_000, 3);
  const calibration = fitClassCalibration(rows);
  assert.notEqual(calibration.method, "none");
  for (const slope of calibration.slopes) assert.ok(Math.abs(slope - 1 / 3) < 0.05, `${slope}`);
  const meanOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const probabilities = classProbabilities(rows.scores, calibration);
  for (const [label, own] of probabilities.entries()) {
    const share = rows.labels.filter((truth) => truth === label).length / rows.labels.length;
    assert.ok(Math.abs(meanOf(own) - share) < 0.02);
  }
});

test("good scores, and few rows, are left alone", () => {
  assert.deepEqual(fitClassCalibration(overconfident(80, 3)), uncalibrated(3));
  for (const slope of fitClassCalibration(overconfident(4_000, 1)).slopes) assert.ok(Math.abs(slope - 1) < 0.1);
});
