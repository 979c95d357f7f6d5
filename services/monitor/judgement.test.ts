import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { judgeFallbacks, judgeInputs, judgeTruth } from "./judgement.ts";
import type { MonitoringRules } from "./monitoringRules.ts";
import { watchedModel } from "./watchedModel.ts";
import { binOf, Window } from "./window.ts";

const RULES: MonitoringRules = {
  app: "app",
  windowMs: 1,
  latenessMs: 0,
  labelWaitMs: 0,
  minRows: 100,
  maxPsi: 0.2,
  maxLogLossIncrease: 0.05,
  maxFallbackShare: 0.05,
  hold: 2,
  timeOnly: new Set(["hour"]),
};

/** Quarters of 0 to 1 in training, 10,000 rows. */
function windowOf(names: readonly string[], windowPsi: number[] = []): Window {
  const features = names.map((name) => ({
    name,
    edges: [0.25, 0.5, 0.75],
    shares: [0.25, 0.25, 0.25, 0.25],
    windowPsi,
  }));
  const model = create(ModelVersionSchema, {
    app: "app",
    number: 1,
    featureNames: [...names],
    metrics: { log_loss: 0.4 },
    reference: { features, rows: 10_000n },
  });
  return new Window({ app: "app", version: "app/1", fromMs: 0 }, watchedModel(model));
}

function fill(window: Window, rows: number, values: (share: number) => number[]): Window {
  for (let row = 0; row < rows; row += 1) window.addPrediction(values((row + 0.5) / rows), 0.5, true, false);
  return window;
}

const subjectsOf = (window: Window): Record<string, string[]> =>
  Object.fromEntries(
    judgeInputs(window, RULES).map(({ monitor, evidence }) => [monitor, evidence.map(({ subject }) => subject)]),
  );

test("a bin holds what is above the edge before it, and its own edge", () => {
  assert.deepEqual(
    [-1, 1, 1.5, 2, 3, 9].map((value) => binOf([1, 2, 3], value)),
    [0, 0, 1, 1, 2, 3],
  );
  assert.equal(binOf([], 5), 0);
});

test("only the inputs that moved are named, the worst first", () => {
  const window = fill(windowOf(["a", "b", "c"]), 1_000, (share) => [share, share * 0.5, share * 0.25]);
  assert.deepEqual(subjectsOf(window), { drift: ["c", "b"], data_quality: [] });
});

test("few rows say nothing", () => {
  assert.deepEqual(subjectsOf(fill(windowOf(["a"]), 99, () => [0])), { drift: [], data_quality: [] });
});

test("an input that is a function of the time is not judged", () => {
  assert.deepEqual(subjectsOf(fill(windowOf(["hour"]), 1_000, () => [0.9])), { drift: [], data_quality: [] });
});

test("a shift no larger than the training set's own windows had is none", () => {
  const shifted = (windowPsi: number[]): Window => fill(windowOf(["a"], windowPsi), 1_000, (share) => [share * 0.7]);
  assert.deepEqual(subjectsOf(shifted([0.01, 0.05])).drift, ["a"]);
  assert.deepEqual(subjectsOf(shifted([0.01, 5])).drift, []);
});

test("a missing input is a matter of data quality", () => {
  const window = fill(windowOf(["a", "b"]), 1_000, (share) => [share < 0.3 ? Number.NaN : (share - 0.3) / 0.7, share]);
  assert.deepEqual(subjectsOf(window), { drift: [], data_quality: ["a"] });
});

test("a hard day of a calibrated model is not a worse model; a wrong one is", () => {
  const [hard, wrong, lucky] = [windowOf(["a"]), windowOf(["a"]), windowOf(["a"])];
  for (let row = 0; row < 1_000; row += 1) {
    hard.truth.add(0.5, row % 2);
    wrong.truth.add(0.1, row % 2);
    lucky.truth.add(0.1, row % 20 === 0 ? 1 : 0);
  }
  assert.ok(hard.truth.logLoss > 0.6);
  assert.deepEqual(judgeTruth(hard, RULES).evidence, []);
  assert.deepEqual(judgeTruth(lucky, RULES).evidence, []);
  assert.equal(judgeTruth(wrong, RULES).evidence[0]?.statistic, "log_loss_increase");
});

test("a loss that may well be chance is not evidence", () => {
  const window = windowOf(["a"]);
  for (let row = 0; row < 10; row += 1) window.truth.add(0.2, row < 3 ? 1 : 0);
  assert.ok(window.truth.logLoss - window.truth.expectedLogLoss > 0.05);
  assert.deepEqual(judgeTruth(window, RULES).evidence, []);
});

test("the share of fallbacks matters above the app's limit", () => {
  assert.deepEqual(judgeFallbacks(1_000, 50, RULES).evidence, []);
  assert.equal(judgeFallbacks(1_000, 51, RULES).evidence[0]?.value, 0.051);
  assert.deepEqual(judgeFallbacks(0, 0, RULES).evidence, []);
});
