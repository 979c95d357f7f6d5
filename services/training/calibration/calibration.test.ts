import assert from "node:assert/strict";
import { test } from "node:test";
import { expectedCalibrationError } from "@millrace/metrics";
import { sigmoid } from "../logOdds.ts";
import { calibrated, fitCalibration, UNCALIBRATED } from "./calibration.ts";
import { fitPlatt } from "./platt.ts";

const ROWS = 20_000;
const scores = Float64Array.from({ length: ROWS }, (_, row) => (((row * 7919) % 6_007) / 6_007) * 6 - 3);
const drawn = (truth: (score: number) => number): Float64Array =>
  scores.map((score, row) => (((row * 15_485_863) % 9_973) / 9_973 < truth(score) ? 1 : 0));

test("overconfident scores are pulled back to what happened", () => {
  const labels = drawn((score) => sigmoid(0.5 * score - 0.4));
  const platt = fitPlatt({ scores, labels });
  assert.ok(platt !== undefined);
  assert.ok(Math.abs(platt.slope - 0.5) < 0.05, `${platt.slope}`);
  assert.ok(Math.abs(platt.intercept + 0.4) < 0.05, `${platt.intercept}`);
  assert.ok(expectedCalibrationError(labels, calibrated(scores, platt)) < 0.02);
  const chosen = fitCalibration({ scores, labels });
  assert.notEqual(chosen.method, "none");
  assert.ok(expectedCalibrationError(labels, calibrated(scores, chosen)) < 0.02);
});

test("where the truth bends as no sigmoid does, the isotonic line is chosen", () => {
  const labels = drawn((score) => (score < 0 ? 0.1 : 0.3 + 0.05 * score));
  const chosen = fitCalibration({ scores, labels });
  assert.equal(chosen.method, "isotonic");
  assert.ok(expectedCalibrationError(labels, calibrated(scores, chosen)) < 0.02);
});

test("calibration keeps the order of the scores", () => {
  const labels = drawn((score) => (score < 0 ? 0.1 : 0.3 + 0.05 * score));
  const ascending = Float64Array.from(scores).sort();
  const probabilities = calibrated(ascending, fitCalibration({ scores, labels }));
  for (let row = 1; row < ROWS; row += 1) {
    assert.ok((probabilities[row] as number) >= (probabilities[row - 1] as number), `row ${row}`);
  }
});

test("scores that say nothing, or the opposite, are left alone rather than turned around", () => {
  const labels = drawn((score) => sigmoid(-score));
  assert.equal(fitPlatt({ scores, labels }), undefined);
});

test("too few rows calibrate nothing", () => {
  const few = scores.subarray(0, 20);
  assert.deepEqual(fitCalibration({ scores: few, labels: few.map(() => 1) }), UNCALIBRATED);
});

test("a row of weight two counts as two rows", () => {
  const few = Float64Array.from({ length: 100 }, (_, row) => row / 25 - 2);
  const labels = few.map((_, row) => ((row * 37) % 100 < row ? 1 : 0));
  const weights = few.map((_, row) => 1 + (row % 2));
  const twice = (column: Float64Array): Float64Array =>
    Float64Array.from([...column].flatMap((value, row) => (row % 2 === 1 ? [value, value] : [value])));
  const weighted = fitPlatt({ scores: few, labels, weights });
  const repeated = fitPlatt({ scores: twice(few), labels: twice(labels) });
  assert.ok(weighted !== undefined && repeated !== undefined);
  assert.ok(Math.abs(weighted.slope - repeated.slope) < 1e-9);
  assert.ok(Math.abs(weighted.intercept - repeated.intercept) < 1e-9);
});
