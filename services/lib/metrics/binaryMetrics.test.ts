import assert from "node:assert/strict";
import { test } from "node:test";
import { areaUnderRoc, binaryMetrics, brierScore, expectedCalibrationError, logLoss } from "./mod.ts";

const array = (...values: number[]): Float64Array => Float64Array.from(values);
const close = (actual: number, expected: number): void => assert.ok(Math.abs(actual - expected) < 1e-12, `${actual}`);

test("AUC is the share of pairs in the right order, a tie counting half", () => {
  close(areaUnderRoc(array(0, 0, 1, 1), array(0.1, 0.4, 0.35, 0.8)), 0.75);
  close(areaUnderRoc(array(0, 1, 0, 1), array(0.5, 0.5, 0.5, 0.5)), 0.5);
  close(areaUnderRoc(array(1, 0), array(0.9, 0.1)), 1);
  assert.ok(Number.isNaN(areaUnderRoc(array(1, 1), array(0.9, 0.1))));
});

test("log loss is the mean of what happened's surprise, and finite for a certain mistake", () => {
  close(logLoss(array(1, 0), array(0.8, 0.3)), -(Math.log(0.8) + Math.log(0.7)) / 2);
  assert.ok(Number.isFinite(logLoss(array(1), array(0))));
});

test("the Brier score is the mean squared error", () => {
  close(brierScore(array(1, 0), array(0.8, 0.3)), (0.04 + 0.09) / 2);
});

test("calibration error compares each bin's mean probability with its share of positives", () => {
  // Two bins of two rows: |0.15 - 0| and |0.85 - 0.5|.
  close(expectedCalibrationError(array(0, 0, 1, 0), array(0.1, 0.2, 0.8, 0.9), 2), (0.15 + 0.35) / 2);
  close(expectedCalibrationError(array(1, 0, 0, 1), array(0.5, 0.5, 0.5, 0.5), 4), 0);
});

test("the base rate's log loss is the yardstick beside a model's", () => {
  const metrics = binaryMetrics(array(1, 0, 0, 0), array(0.7, 0.2, 0.1, 0.6));
  close(metrics.baseRate, 0.25);
  close(metrics.baseRateLogLoss, -(0.25 * Math.log(0.25) + 0.75 * Math.log(0.75)));
  close(metrics.accuracy, 0.75);
});
