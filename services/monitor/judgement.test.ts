import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { binOf } from "@millrace/metrics";
import { ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { NOTHING_YET, nextAlerts } from "./alertPolicy.ts";
import { judgeFallbacks, judgeInputs, judgeTruth, limitFactor, type Measurement } from "./judgement.ts";
import type { MonitoringRules } from "./monitoringRules.ts";
import { watchedModel } from "./watchedModel.ts";
import { Window } from "./window.ts";

const RULES: MonitoringRules = {
  app: "app",
  windowMs: 1,
  latenessMs: 0,
  labelWaitMs: 0,
  minRows: 100,
  maxPsi: 0.2,
  maxLogLossIncrease: 0.05,
  maxFallbackShare: 0.05,
  hold: 1,
  holdOf: 1,
  seasonMs: 0,
  timeOnly: new Set(["hour"]),
  sources: new Map(),
};

/** Quarters of 0 to 1 in training, 10,000 rows; `windows` are the shares of the quarters in stretches of 1,000 rows. */
function windowOf(names: readonly string[], windows: readonly (readonly number[])[] = [], fromMs = 0): Window {
  const features = names.map((name) => ({
    name,
    edges: [0.25, 0.5, 0.75],
    shares: [0.25, 0.25, 0.25, 0.25],
    minimum: 0,
    maximum: 1,
    windows: windows.map((shares, index) => ({
      from: timestampFromMs(index),
      counts: shares.map((share) => Math.round(share * 1_000)),
      missing: 0,
    })),
  }));
  const model = create(ModelVersionSchema, {
    app: "app",
    number: 1,
    featureNames: [...names],
    metrics: { log_loss: 0.4 },
    reference: { features, rows: 10_000n },
  });
  return new Window({ app: "app", version: "app/1", fromMs }, watchedModel(model));
}

function fill(window: Window, rows: number, values: (share: number) => number[]): Window {
  for (let row = 0; row < rows; row += 1) window.addPrediction(values((row + 0.5) / rows), 0.5, true, false);
  return window;
}

/** What a policy that waits for no second window calls wrong, by monitor. */
function wrongOf(measured: readonly Measurement[]): Record<string, string[]> {
  const window = { ...RULES, modelVersion: "app/1", fromMs: 0, toMs: 1 };
  const wrong: Record<string, string[]> = { drift: [], data_quality: [] };
  for (const { monitor, evidence } of nextAlerts(NOTHING_YET, measured, window).changes)
    wrong[monitor] = [...(wrong[monitor] ?? []), ...evidence.map(({ subject }) => subject)];
  return wrong;
}

const subjectsOf = (window: Window): Record<string, string[]> => wrongOf(judgeInputs(window, RULES));

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

/** Quarters of windows of which the first and the last differ by so much to and fro. */
const swinging = (by: number): number[][] =>
  Array.from({ length: 14 }, (_, index) => {
    const swing = by * Math.sin(index * 2.4);
    return [0.25 + swing, 0.25 + 0.01 * Math.cos(index), 0.25 - 0.01 * Math.cos(index), 0.25 - swing];
  });

test("a shift no larger than the training set's own windows had is none", () => {
  const shifted = (windows: number[][]): Window =>
    fill(windowOf(["a"], windows), 1_000, (share) => [
      share < 0.45 ? 0.1 : share < 0.7 ? 0.3 : share < 0.95 ? 0.6 : 0.9,
    ]);
  assert.deepEqual(subjectsOf(shifted(swinging(0.02))).drift, ["a"]);
  assert.deepEqual(subjectsOf(shifted(swinging(0.2))).drift, []);
});

test("a shift in a direction in which windows never differ is one, however much they differ in others", () => {
  const middle = fill(windowOf(["a"], swinging(0.2)), 1_000, (share) => [share < 0.5 ? share : 0.6]);
  assert.deepEqual(subjectsOf(middle).drift, ["a"]);
});

test("windows of the same hours are compared with each other where the app has a season", () => {
  // In turn mornings, small, and evenings, large; a little uneven, as in life.
  const windows = Array.from({ length: 12 }, (_, index) => {
    const more = 0.01 * Math.sin(index * 2.4);
    return index % 2 === 0 ? [0.5 + more, 0.5 - more, 0, 0] : [0, 0, 0.5 + more, 0.5 - more];
  });
  const evening = fill(windowOf(["a"], windows, 13), 1_000, (share) => [0.5 + share / 2 + 1e-9]);
  const morning = fill(windowOf(["a"], windows, 12), 1_000, (share) => [0.5 + share / 2 - 1e-9]);
  const psiOf = (window: Window, seasonMs: number): Measurement | undefined =>
    judgeInputs(window, { ...RULES, seasonMs }).find(({ statistic }) => statistic === "psi");
  assert.ok((psiOf(evening, 2)?.value ?? 1) < 0.01);
  assert.ok((psiOf(morning, 2)?.value ?? 0) > 1);
  assert.ok((psiOf(evening, 0)?.value ?? 0) > 1);
});

test("values that were never seen in training are a matter of data quality", () => {
  const window = fill(windowOf(["a"]), 1_000, (share) => [share < 0.2 ? 5 + share : share]);
  const [unseen] = judgeInputs(window, RULES).filter(({ statistic }) => statistic === "unseen_share");
  assert.equal(unseen?.value, 0.2);
  assert.deepEqual(subjectsOf(window)["data_quality"]?.includes("a"), true);
});

test("what an input is worth to the model moves its limit, down to a half, up by a half", () => {
  assert.equal(limitFactor(Number.NaN, 9), 1);
  assert.equal(limitFactor(1 / 9, 9), 1);
  assert.equal(limitFactor(4 / 9, 9), 0.5);
  assert.equal(limitFactor(0, 9), 1.5);
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
  assert.equal(wrongOf(judgeTruth(hard, RULES))["performance"], undefined);
  assert.equal(wrongOf(judgeTruth(lucky, RULES))["performance"], undefined);
  assert.deepEqual(wrongOf(judgeTruth(wrong, RULES))["performance"], ["log_loss"]);
});

test("a loss that may well be chance is not evidence", () => {
  const window = windowOf(["a"]);
  for (let row = 0; row < 10; row += 1) window.truth.add(0.2, row < 3 ? 1 : 0);
  assert.ok(window.truth.logLoss - window.truth.expectedLogLoss > 0.05);
  assert.equal(wrongOf(judgeTruth(window, RULES))["performance"], undefined);
});

test("a broken promise is judged by how promises were kept in windows of the holdout", () => {
  const lossOf = (excesses: readonly number[]): Measurement | undefined => {
    const truth = excesses.map((excessLogLoss) => ({ rows: 1_000, excessLogLoss, excessVariance: 0.1 }));
    const reference = { features: [], rows: 10_000n, truth };
    const model = create(ModelVersionSchema, { app: "app", number: 1, featureNames: ["a"], reference });
    const window = new Window({ app: "app", version: "app/1", fromMs: 0 }, watchedModel(model));
    for (let row = 0; row < 1_000; row += 1) window.truth.add(0.2, row % 10 < 3 ? 1 : 0);
    return judgeTruth(window, RULES)[0];
  };
  assert.ok((lossOf([-0.01, 0.01, 0, 0.02, -0.02])?.pValue ?? 1) < 0.01);
  assert.ok((lossOf([-0.15, 0.15, 0, 0.2, -0.2])?.pValue ?? 0) > 0.1);
});

test("the share of fallbacks matters above the app's limit", () => {
  assert.equal(wrongOf([judgeFallbacks(1_000, 50, RULES)])["fallback"], undefined);
  assert.deepEqual(wrongOf([judgeFallbacks(1_000, 51, RULES)])["fallback"], ["fallback_share"]);
  assert.equal(judgeFallbacks(1_000, 51, RULES).value, 0.051);
  assert.equal(judgeFallbacks(0, 0, RULES).value, 0);
});
