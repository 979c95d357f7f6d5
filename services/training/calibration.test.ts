import assert from "node:assert/strict";
import { test } from "node:test";
import { expectedCalibrationError } from "@millrace/metrics";
import { calibrated, fitCalibration, fitPlatt, sigmoid, UNCALIBRATED } from "./calibration.ts";

const ROWS = 20_000;
const scores = Float64Array.from({ length: ROWS }, (_, row) => (((row * 7919) % 6_007) / 6_007) * 6 - 3);
const drawn = (truth: (score: number) => number): Float64Array =>
  scores.map((score, row) => (((row * 15_485_863) % 9_973) / 9_973 < truth(score) ? 1 : 0));

test("overconfident scores are pulled back to what happened", () => {
  const labels = drawn((score) => sigmoid(0.5 * score - 0.4));
  const calibration = fitCalibration(scores, labels);
  assert.ok(Math.abs(calibration.slope - 0.5) < 0.05, `${calibration.slope}`);
  assert.ok(Math.abs(calibration.intercept + 0.4) < 0.05, `${calibration.intercept}`);
  assert.ok(expectedCalibrationError(labels, calibrated(scores, calibration)) < 0.02);
});

test("scores that say nothing, or the opposite, are left alone rather than turned around", () => {
  assert.deepEqual(
    fitPlatt(
      scores,
      drawn((score) => sigmoid(-score)),
    ),
    UNCALIBRATED,
  );
});

test("too few rows calibrate nothing", () => {
  assert.deepEqual(fitCalibration(scores.subarray(0, 20), scores.subarray(0, 20)), UNCALIBRATED);
});
