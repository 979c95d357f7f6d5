import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { binaryMetrics, randomNumbers } from "@millrace/metrics";
import { Metric, ServingSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { withArtefact } from "../evaluate.ts";
import { MULTICLASS, partsOf, rowsOf } from "../rowsForTests.ts";
import { BINARY, REGRESSION } from "../task.ts";
import { trainCandidate } from "../train.ts";
import { decisionPolicy } from "./decisionPolicy.ts";
import { confusionOf, coverageSlices, curvesOf, decisionsOf } from "./details.ts";
import { estimateMetrics, quickMetrics } from "./estimates.ts";
import { permutationImportance } from "./importance.ts";
import type { AnsweredRows } from "./measures.ts";
import { evaluateSegments, segmentsOfNumbers, segmentsOfTexts } from "./segments.ts";

const array = (...values: number[]): Float64Array => Float64Array.from(values);
const close = (actual: number | undefined, expected: number, tolerance = 1e-9): void =>
  assert.ok(actual !== undefined && Math.abs(actual - expected) < tolerance, `${actual} is not ${expected}`);

const NO_POLICY = decisionPolicy(undefined);

function binaryRows(labels: Float64Array, probabilities: Float64Array, policy = NO_POLICY): AnsweredRows {
  return { task: BINARY, labels, answers: { kind: "binary", probabilities }, policy, coverage: 0.9 };
}

/** Labels that come true as often as the probabilities say, which are then blurred. */
function blurred(rows: number, blur: number, seed: number): AnsweredRows {
  const random = randomNumbers(1);
  const noise = randomNumbers(seed);
  const truth = Float64Array.from({ length: rows }, random);
  const labels = truth.map((chance) => (random() < chance ? 1 : 0));
  return binaryRows(
    labels,
    truth.map((chance) => Math.min(Math.max(chance + blur * (noise() - 0.5), 0.01), 0.99)),
  );
}

test("the measures of binary answers are those of the metrics' library", () => {
  const rows = blurred(1_000, 0.3, 2);
  const own = quickMetrics(rows);
  const { kind, ...answers } = rows.answers;
  assert.equal(kind, "binary");
  const expected = binaryMetrics(rows.labels, (answers as { probabilities: Float64Array }).probabilities);
  close(own["auc"], expected.auc);
  close(own["log_loss"], expected.logLoss);
  close(own["brier"], expected.brier);
  close(own["calibration_error"], expected.calibrationError);
  close(own["accuracy"], expected.accuracy);
  close(own["base_rate"], expected.baseRate);
  assert.equal(own["rows"], 1_000);
});

test("numbers and classes are measured as worked out by hand", () => {
  const values = array(1, 2, 3, 6);
  const numbers = quickMetrics({
    task: REGRESSION,
    labels: array(1, 3, 3, 5),
    answers: { kind: "regression", values, lower: values.map((v) => v - 0.5), upper: values.map((v) => v + 1) },
    policy: NO_POLICY,
    coverage: 0.8,
  });
  close(numbers["rmse"], Math.sqrt(0.5));
  close(numbers["mae"], 0.5);
  close(numbers["r2"], 1 - 2 / 8);
  close(numbers["bias"], 0);
  close(numbers["coverage"], 0.75);
  close(numbers["coverage_error"], 0.05);
  close(numbers["interval_width"], 1.5);
  const classes: AnsweredRows = {
    task: MULTICLASS,
    labels: array(0, 1, 1, 2),
    answers: {
      kind: "multiclass",
      probabilities: [array(0.7, 0.2, 0.5, 0.1), array(0.2, 0.7, 0.3, 0.3), array(0.1, 0.1, 0.2, 0.6)],
      sets: [Uint8Array.of(1, 0, 1, 0), Uint8Array.of(0, 1, 0, 0), Uint8Array.of(0, 0, 0, 1)],
    },
    policy: NO_POLICY,
    coverage: 0.9,
  };
  const own = quickMetrics(classes);
  close(own["accuracy"], 0.75);
  close(own["log_loss"], -(Math.log(0.7) * 2 + Math.log(0.3) + Math.log(0.6)) / 4);
  close(own["coverage"], 0.75);
  close(own["set_size"], 1);
  // F1: 2/3 of both the first and the second class, 1 of the third.
  close(own["macro_f1"], (2 / 3 + 2 / 3 + 1) / 3);
  assert.deepEqual(confusionOf(classes), [1n, 0n, 0n, 1n, 1n, 0n, 0n, 0n, 1n]);
  assert.deepEqual(
    curvesOf(classes)
      .map(({ name, class: of }) => `${name} ${of}`)
      .slice(0, 2),
    ["roc busy", "precision_recall busy"],
  );
});

test("decisions are judged by what they cost and how often they are right, as worked out by hand", () => {
  const serving = create(ServingSchema, {
    decisions: [
      { name: "call", cost: { positive: 1, negative: 1 } },
      { name: "wait", cost: { positive: 5, negative: 0 } },
    ],
  });
  // Calling costs less from a probability of 0.2 on.
  const rows = binaryRows(array(1, 0, 0, 1), array(0.9, 0.3, 0.1, 0.15), decisionPolicy(serving));
  close(quickMetrics(rows)["cost"], (1 + 1 + 0 + 5) / 4);
  const [wait, call] = decisionsOf(rows);
  assert.deepEqual([wait?.name, wait?.rows, wait?.precision, wait?.cost], ["wait", 2n, 0.5, 2.5]);
  assert.deepEqual([call?.name, call?.from, call?.precision, call?.recall, call?.f1], ["call", 0.2, 0.5, 0.5, 0.5]);
  close(quickMetrics(rows)["f1_at_call"], 0.5);
});

test("a champion that is the same is a tie whatever is drawn, and a clearly better candidate is better for sure", () => {
  const options = { seed: 3, confidence: 0.95 };
  const sharp = blurred(3_000, 0.1, 2);
  const [same] = estimateMetrics(sharp, sharp, { ...options, only: ["log_loss"] });
  assert.deepEqual(same?.advantage, { value: 0, lower: 0, upper: 0 });
  const [better] = estimateMetrics(sharp, blurred(3_000, 1, 3), { ...options, only: ["log_loss"] });
  assert.ok((better?.advantage?.lower ?? 0) > 0);
  // Of two that are as good as each other, one is ahead by chance, which its interval tells.
  const [close_] = estimateMetrics(sharp, blurred(3_000, 0.1, 4), { ...options, only: ["log_loss"] });
  const { lower = 1, upper = -1 } = close_?.advantage ?? {};
  assert.ok(lower < 0 && upper > 0, `${lower} ${upper}`);
  assert.deepEqual(estimateMetrics(sharp, sharp, options), estimateMetrics(sharp, sharp, options));
});

test("segments are told by texts, values or ranges, and small ones are left out", () => {
  const rows = blurred(1_000, 0.2, 2);
  const random = randomNumbers(8);
  const airport = segmentsOfTexts(
    "airport",
    Array.from({ length: 1_000 }, (_, row) => (row < 10 ? "TINY" : row % 2 ? "ORD" : undefined)),
  );
  const amount = segmentsOfNumbers(
    "amount",
    Float64Array.from({ length: 1_000 }, () => random() * 100),
    false,
  );
  const hour = segmentsOfNumbers(
    "hour",
    Float64Array.from({ length: 1_000 }, (_, row) => row % 4),
    false,
  );
  const found = evaluateSegments([airport, amount, hour], "log_loss", rows, rows, { seed: 1, confidence: 0.95 });
  const names = (by: string): string[] => found.filter((segment) => segment.by === by).map(({ segment }) => segment);
  assert.deepEqual(names("airport").sort(), ["ORD", "missing"]);
  assert.equal(names("amount").length, 5);
  assert.match(names("amount")[0] ?? "", /^[\d.]+ to [\d.]+$/);
  assert.deepEqual(names("hour").sort(), ["0", "1", "2", "3"]);
  const [first] = found;
  assert.ok(first?.candidate !== undefined && first.candidate.lower < first.candidate.value);
  assert.equal(first.champion?.value, first.candidate.value);
  assert.ok((first.metrics["auc"] ?? 0) > 0.6);
});

test("shuffling a feature that tells costs more than shuffling one that does not, and a constant one nothing", async () => {
  const all = rowsOf(BINARY, 3_000);
  const matrix = {
    ...all,
    featureNames: ["a", "b", "c", "noise", "same"],
    columns: [...all.columns, Float64Array.from({ length: 3_000 }, randomNumbers(4)), new Float64Array(3_000).fill(3)],
  };
  const parts = partsOf(matrix);
  const { onnx } = await trainCandidate({ algorithm: "gbdt", ...parts, parameters: { trees: 30 } });
  const judgement = { task: BINARY, policy: NO_POLICY, coverage: 0.9 };
  const importance = await withArtefact(onnx, (artefact) =>
    permutationImportance(artefact, parts.holdout, judgement, Metric.LOG_LOSS, 1),
  );
  const [a = 0, , c = 0, noise = 1, same] = importance;
  assert.ok(a > 0.03 && c > 0.03 && noise < 0.01, importance.join());
  assert.equal(same, 0);
});

test("where the world moves away, the slices of coverage show it", () => {
  const rows = 1_000;
  const values = new Float64Array(rows);
  const labels = Float64Array.from({ length: rows }, (_, row) => (row < 500 ? 0.5 : 0.5 + (row - 500) / 100));
  const answers = { kind: "regression", values, lower: values.map(() => -1), upper: values.map(() => 1) } as const;
  const slices = coverageSlices(
    { task: REGRESSION, labels, answers, policy: NO_POLICY, coverage: 0.9 },
    Float64Array.from({ length: rows }, (_, row) => row * 1_000),
  );
  assert.equal(slices.length, 20);
  assert.equal(slices[0]?.covered, 1);
  assert.equal(slices.at(-1)?.covered, 0);
  assert.equal(
    slices.reduce((sum, { rows: count }) => sum + Number(count), 0),
    rows,
  );
});
