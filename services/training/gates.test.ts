import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Gates, GatesSchema, Metric } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type ChampionResult, type Metrics, passGates } from "./gates.ts";

const GOOD: Metrics = { auc: 0.7, log_loss: 0.4, brier: 0.12, calibration_error: 0.02, rows: 5_000 };
const NONE: ChampionResult = { kind: "none" };
const champion = (metrics: Partial<Metrics>): ChampionResult => ({
  kind: "measured",
  number: 3,
  metrics: { ...GOOD, ...metrics } as Metrics,
});
const gates = (values: Partial<Gates>): Gates => create(GatesSchema, values as object);

test("the first model that reaches the minimums is accepted", () => {
  const all = gates({ minAuc: 0.6, maxLogLoss: 0.5, maxCalibrationError: 0.1, minRows: 2_000 });
  const { accepted, verdict } = passGates(all, Metric.LOG_LOSS, GOOD, NONE);
  assert.equal(accepted, true);
  assert.equal(verdict.length, 5);
});

for (const [rule, limit, metrics] of [
  ["min_auc", { minAuc: 0.71 }, "AUC 0.7000 is below the minimum of 0.71"],
  ["max_log_loss", { maxLogLoss: 0.39 }, "Log loss 0.4000 is above the maximum of 0.39"],
  ["max_calibration_error", { maxCalibrationError: 0.01 }, "Calibration error 0.0200 is above the maximum of 0.01"],
  ["min_rows", { minRows: 5_001 }, "only 5000 rows; at least 5001"],
] as const) {
  test(`a candidate that misses ${rule} is rejected with its number and the limit`, () => {
    const { accepted, verdict } = passGates(gates(limit), Metric.LOG_LOSS, GOOD, NONE);
    assert.equal(accepted, false);
    assert.ok(
      verdict.some((sentence) => sentence.includes(metrics) && sentence.includes(rule)),
      verdict.join("\n"),
    );
  });
}

test("a value exactly at its limit passes", () => {
  const exact = gates({ minAuc: 0.7, maxLogLoss: 0.4, maxCalibrationError: 0.02, minRows: 5_000 });
  assert.equal(passGates(exact, Metric.AUC, GOOD, NONE).accepted, true);
});

for (const { title, metric, better, tie, worse } of [
  {
    title: "log loss",
    metric: Metric.LOG_LOSS,
    better: { log_loss: 0.41 },
    tie: { log_loss: 0.401 },
    worse: { log_loss: 0.39 },
  },
  {
    title: "Brier score",
    metric: Metric.BRIER,
    better: { brier: 0.13 },
    tie: { brier: 0.121 },
    worse: { brier: 0.11 },
  },
  { title: "AUC", metric: Metric.AUC, better: { auc: 0.69 }, tie: { auc: 0.699 }, worse: { auc: 0.71 } },
]) {
  test(`by ${title}, only what beats the champion by more than the tolerance replaces it`, () => {
    const tolerance = gates({ tolerance: 0.002 });
    const judge = (metrics: Partial<Metrics>) => passGates(tolerance, metric, GOOD, champion(metrics));
    assert.equal(judge(better).accepted, true);
    assert.match(judge(better).verdict.at(-1) ?? "", /better by 0\.0100/);
    assert.equal(judge(tie).accepted, false);
    assert.match(judge(tie).verdict.at(-1) ?? "", /a tie .*champion stays/);
    assert.equal(judge(worse).accepted, false);
    assert.match(judge(worse).verdict.at(-1) ?? "", /champion 3's .* worse by 0\.0100/);
    assert.equal(judge({}).accepted, false, "equal is a tie");
  });
}

test("without a tolerance, equal is a tie and any advantage is enough", () => {
  assert.equal(passGates(undefined, Metric.AUC, GOOD, champion({})).accepted, false);
  assert.equal(passGates(undefined, Metric.AUC, GOOD, champion({ auc: 0.6999 })).accepted, true);
});

test("a champion that cannot be run does not stand in the way, and the verdict says why", () => {
  const unusable: ChampionResult = { kind: "unusable", number: 7, reason: "its file is gone." };
  const { accepted, verdict } = passGates(undefined, Metric.AUC, GOOD, unusable);
  assert.equal(accepted, true);
  assert.match(verdict.at(-1) ?? "", /Champion 7 could not be run .* its file is gone/);
});

test("a candidate whose metric is not a number is rejected, with or without a champion", () => {
  const broken = { ...GOOD, auc: Number.NaN };
  for (const other of [NONE, champion({})])
    assert.equal(passGates(undefined, Metric.AUC, broken, other).accepted, false);
  assert.equal(passGates(gates({ minAuc: 0.6 }), Metric.LOG_LOSS, broken, NONE).accepted, false);
});
