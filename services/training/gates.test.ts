import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Gates, GatesSchema, Metric } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  PerformanceSchema,
  type SegmentEvaluation,
  SegmentEvaluationSchema,
} from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import { type Metrics, metricDefinition } from "./evaluation/metrics.ts";
import { type ChampionResult, type GateInput, type GateResult, passGates } from "./gates.ts";
import { worstSegmentsSentence } from "./segmentGates.ts";

const GOOD: Metrics = { auc: 0.7, log_loss: 0.4, brier: 0.12, calibration_error: 0.02, accuracy: 0.8, rows: 5_000 };
const NUMBERS: Metrics = { rmse: 12, mae: 8, r2: 0.4, coverage_error: 0.01, rows: 5_000 };
const NONE: ChampionResult = { kind: "none" };
const champion = (metrics: Partial<Metrics>): ChampionResult => ({
  kind: "measured",
  number: 3,
  metrics: { ...GOOD, ...metrics } as Metrics,
  answers: { kind: "binary", probabilities: new Float64Array() },
});
const gates = (values: Partial<Gates>): Gates => create(GatesSchema, values as object);

const judged = (asked: Partial<Gates>, others: Partial<GateInput> = {}): GateResult =>
  passGates({
    gates: gates(asked),
    metric: Metric.LOG_LOSS,
    candidate: GOOD,
    champion: NONE,
    advantage: undefined,
    segments: [],
    performance: undefined,
    warnings: [],
    ...others,
  });

/** Against a champion with that metric, as far from chance as `chance` says. */
function against(asked: Partial<Gates>, metric: Metric, theirs: Partial<Metrics>, chance = 0.0005): GateResult {
  const { key, higherIsBetter } = metricDefinition(metric);
  const value = ((GOOD[key] ?? 0) - (theirs[key] ?? GOOD[key] ?? 0)) * (higherIsBetter ? 1 : -1);
  const advantage = { value, lower: value - chance, upper: value + chance };
  return judged(asked, { metric, champion: champion(theirs), advantage });
}

test("the first model that reaches the minimums is accepted", () => {
  const { accepted, verdict } = judged({ minAuc: 0.6, maxLogLoss: 0.5, maxCalibrationError: 0.1, minRows: 2_000 });
  assert.equal(accepted, true);
  assert.equal(verdict.length, 5);
});

for (const [rule, limit, sentence, candidate] of [
  ["min_auc", { minAuc: 0.71 }, "AUC 0.7000 is below the minimum of 0.71", GOOD],
  ["max_log_loss", { maxLogLoss: 0.39 }, "Log loss 0.4000 is above the maximum of 0.39", GOOD],
  ["max_calibration_error", { maxCalibrationError: 0.01 }, "Calibration error 0.0200 is above the maximum", GOOD],
  ["max_brier", { maxBrier: 0.1 }, "Brier score 0.1200 is above the maximum of 0.1", GOOD],
  ["min_accuracy", { minAccuracy: 0.9 }, "Accuracy 0.8000 is below the minimum of 0.9", GOOD],
  ["max_cost", { maxCost: 1 }, "Mean cost of a decision 1.5000 is above the maximum of 1", { ...GOOD, cost: 1.5 }],
  ["max_rmse", { maxRmse: 11 }, "RMSE 12.0000 is above the maximum of 11", NUMBERS],
  ["max_mae", { maxMae: 7 }, "MAE 8.0000 is above the maximum of 7", NUMBERS],
  ["min_r2", { minR2: 0.5 }, "R² 0.4000 is below the minimum of 0.5", NUMBERS],
  ["max_coverage_error", { maxCoverageError: 0.005 }, "stated coverage 0.0100 is above the maximum", NUMBERS],
  ["min_rows", { minRows: 5_001 }, "only 5000 rows; at least 5001", GOOD],
] as const) {
  test(`a candidate that misses ${rule} is rejected with its number and the limit`, () => {
    const { accepted, verdict, checks } = judged(limit, { candidate });
    assert.equal(accepted, false);
    assert.ok(
      verdict.some((text) => text.includes(sentence) && text.includes(rule)),
      verdict.join("\n"),
    );
    const failed = checks.find((check) => check.rule === rule);
    assert.equal(failed?.passed, false);
    assert.ok(Number.isFinite(failed.value) && Number.isFinite(failed.limit));
  });
}

test("a value exactly at its limit passes", () => {
  const exact = { minAuc: 0.7, maxLogLoss: 0.4, maxCalibrationError: 0.02, minRows: 5_000 };
  assert.equal(judged(exact, { metric: Metric.AUC }).accepted, true);
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
  {
    title: "accuracy",
    metric: Metric.ACCURACY,
    better: { accuracy: 0.79 },
    tie: { accuracy: 0.799 },
    worse: { accuracy: 0.81 },
  },
]) {
  test(`by ${title}: better is accepted, a tie and worse keep the champion, and the verdict says by how much`, () => {
    const verdictOf = (theirs: Metrics): [boolean, string] => {
      const { accepted, verdict } = against({ tolerance: 0.002 }, metric, theirs);
      return [accepted, verdict.at(-1) ?? ""];
    };
    const [accepted, sentence] = verdictOf(better);
    assert.equal(accepted, true);
    assert.match(sentence, /on the same 5000 rows: better by 0\.0100, by 0\.0095 at least with 95 % confidence/);
    const [tied, ofTie] = verdictOf(tie);
    assert.equal(tied, false);
    assert.match(ofTie, /a tie \(tolerance 0\.002\); the champion stays/);
    const [lost, ofWorse] = verdictOf(worse);
    assert.equal(lost, false);
    assert.match(ofWorse, /worse by 0\.0100 .* the champion stays/);
  });
}

test("an advantage that chance may explain is a tie, and the confidence asked for decides", () => {
  const { accepted, verdict } = against({ tolerance: 0.001 }, Metric.LOG_LOSS, { log_loss: 0.41 }, 0.02);
  assert.equal(accepted, false);
  assert.match(
    verdict.at(-1) ?? "",
    /better by 0\.0100, which may be chance .* -0\.0100 with 95 % confidence\): a tie/,
  );
  const sure = against({ tolerance: 0.001, confidence: 0.8 }, Metric.LOG_LOSS, { log_loss: 0.41 }, 0.005);
  assert.match(sure.verdict.at(-1) ?? "", /by 0\.0050 at least with 80 % confidence/);
});

test("where the app prefers the newer, a tie goes to the candidate, and only what is surely worse is rejected", () => {
  const verdictOf = (theirs: number, chance: number): [boolean, string] => {
    const asked = { tolerance: 0.001, preferNewer: true };
    const { accepted, verdict } = against(asked, Metric.LOG_LOSS, { log_loss: theirs }, chance);
    return [accepted, verdict.at(-1) ?? ""];
  };
  for (const [theirs, chance, accepted, sentence] of [
    [0.4005, 0.0001, true, /a tie \(tolerance 0\.001\); the newer serves \(prefer_newer\)/],
    [0.3995, 0.0001, true, /a tie \(tolerance 0\.001\); the newer serves/],
    [0.395, 0.02, true, /worse by 0\.0050, which may be chance \(between it and -0\.0150 .*: a tie; the newer serves/],
    [0.395, 0.0001, false, /worse by 0\.0050 .* the champion stays/],
    [0.41, 0.02, true, /better by 0\.0100, which may be chance .*: a tie; the newer serves/],
  ] as const) {
    const [told, verdict] = verdictOf(theirs, chance);
    assert.equal(told, accepted, verdict);
    assert.match(verdict, sentence);
  }
});

test("a champion that cannot be run, or gives no usable answer, is no obstacle", () => {
  const unusable = judged({}, { champion: { kind: "unusable", number: 3, reason: "it needs c, which is gone." } });
  assert.equal(unusable.accepted, true);
  assert.match(unusable.verdict.at(-1) ?? "", /Champion 3 could not be run .* it needs c/);
  assert.equal(against({}, Metric.LOG_LOSS, { log_loss: Number.NaN }).accepted, true);
});

test("a candidate whose metric is no number is rejected", () => {
  const { accepted, verdict } = judged({}, { candidate: { rows: 100 } });
  assert.equal(accepted, false);
  assert.match(verdict.at(-1) ?? "", /log loss could not be calculated/);
});

const segment = (name: string, own: number, theirs?: number): SegmentEvaluation =>
  create(SegmentEvaluationSchema, {
    by: "origin",
    segment: name,
    rows: 200n,
    candidate: { value: own, lower: own, upper: own },
    ...(theirs === undefined ? {} : { champion: { value: theirs, lower: theirs, upper: theirs } }),
  });

test("no segment may be worse than the champion's, or than the whole, by more than allowed", () => {
  const segments = [segment("ORD", 0.48, 0.41), segment("LAX", 0.35, 0.36), segment("SFO", 0.44, 0.45)];
  const { accepted, verdict } = judged({ maxSegmentLoss: 0.05 }, { segments });
  assert.equal(accepted, false);
  assert.match(
    verdict[0] ?? "",
    /log loss 0\.4800 in origin ORD is worse than the champion there by 0\.0700; at most 0\.05/,
  );
  assert.equal(judged({ maxSegmentLoss: 0.08 }, { segments }).accepted, true);
  assert.match(
    judged({ maxSegmentGap: 0.05 }, { segments }).verdict[0] ?? "",
    /origin ORD is worse than over all rows by 0\.0800/,
  );
  assert.equal(judged({ maxSegmentGap: 0.09 }, { segments }).accepted, true);
  assert.match(judged({ maxSegmentLoss: 0.1 }, { segments: [] }).verdict[0] ?? "", /No segment can be compared/);
  assert.match(
    worstSegmentsSentence({ metric: Metric.LOG_LOSS, segments }) ?? "",
    /Of 3 segments, log loss is worst in origin ORD 0\.4800 \(200 rows\), origin SFO 0\.4400/,
  );
});

test("a file that is too large or too slow, and data with warnings, are rejected where the app says so", () => {
  const performance = create(PerformanceSchema, { artefactBytes: 2_000n, rowMicroseconds: 12.3, batchRows: 64 });
  const asked = { maxArtefactBytes: 1_000n, maxRowMicroseconds: 10, refuseWarnings: true };
  const { accepted, verdict } = judged(asked, { performance, warnings: ["x is 3 in every row."] });
  assert.equal(accepted, false);
  assert.match(verdict[0] ?? "", /has 2000 bytes; at most 1000 .*max_artefact_bytes/);
  assert.match(verdict[1] ?? "", /batch of 64 takes 12\.3 µs; at most 10 .*max_row_microseconds/);
  assert.match(verdict[2] ?? "", /is a warning about the data, and none is allowed \(refuse_warnings\)/);
  const within = { maxArtefactBytes: 2_000n, maxRowMicroseconds: 13, refuseWarnings: true };
  assert.equal(judged(within, { performance }).accepted, true);
});
