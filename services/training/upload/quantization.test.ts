import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { Metric } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { QuantizeOptionsSchema } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { type Answers, compareQuantized, type Measured } from "./quantization.ts";

const answers = (probabilities: readonly number[], metrics?: Record<string, number>): Answers => ({
  artefact: "file",
  bytes: 1_000,
  probabilities: Float64Array.from(probabilities),
  ...(metrics === undefined ? {} : { metrics }),
});

/** Faster and as good, but for what a test changes. */
const measured = (changes: Partial<Measured> = {}): Measured => ({
  options: create(QuantizeOptionsSchema, {}),
  metric: Metric.LOG_LOSS,
  comparedOn: "labelled holdout",
  original: answers([0.1, 0.5], { log_loss: 0.4, auc: 0.7 }),
  quantized: answers([0.11, 0.48], { log_loss: 0.401, auc: 0.7 }),
  layers: [{ node: "dense", operator: "MatMul", rows: 256, columns: 256 }],
  skipped: [],
  timings: [
    { batchRows: 1, originalMs: 1, quantizedMs: 2 },
    { batchRows: 64, originalMs: 9, quantizedMs: 3 },
  ],
  ...changes,
});

test("a model that loses no more than allowed and is faster at the app's batch size serves in int8", () => {
  const comparison = compareQuantized(measured());
  assert.equal(comparison.accepted, true);
  assert.ok(Math.abs(comparison.maxDifference - 0.02) < 1e-9 && Math.abs(comparison.meanDifference - 0.015) < 1e-9);
  assert.deepEqual(comparison.verdict, [
    "In int8 the log loss on the same 2 rows is 0.4010, in float32 0.4000: within the allowed loss of 0.002.",
    "A batch of 64 takes 3.000 ms in int8 and 9.000 ms in float32: 3.00 times as fast.",
  ]);
  assert.deepEqual(comparison.quantizedLayers, ["MatMul dense (256 × 256)"]);
});

test("a metric that is better when it is higher may not fall by more than allowed", () => {
  const quantized = answers([0.1, 0.5], { log_loss: 0.3, auc: 0.69 });
  const { accepted, verdict } = compareQuantized(measured({ metric: Metric.AUC, quantized }));
  assert.equal(accepted, false);
  assert.match(verdict[0] ?? "", /the AUC .* is 0\.6900, in float32 0\.7000: worse by 0\.0100, allowed are 0\.002/);
});

for (const [quantizedMs, words] of [
  [8.8, /1\.02 times as fast, less than 1\.05 is no gain/],
  [20, /0\.45 times as fast/],
] as const) {
  test(`a model that takes ${quantizedMs} ms instead of 9 at the app's batch size stays in float32`, () => {
    const timings = [
      { batchRows: 1, originalMs: 5, quantizedMs: 1 },
      { batchRows: 64, originalMs: 9, quantizedMs },
    ];
    const { accepted, verdict } = compareQuantized(measured({ timings }));
    assert.equal(accepted, false);
    assert.match(verdict[1] ?? "", words);
  });
}

test("a model whose int8 answers are no numbers stays in float32, labels or not", () => {
  const withLabels = measured({ quantized: answers([Number.NaN, 0.5], { log_loss: Number.NaN }) });
  const without = measured({
    original: answers([0.1, 0.5]),
    quantized: answers([Number.NaN, 0.5]),
    comparedOn: "random rows",
  });
  for (const each of [withLabels, without]) assert.equal(compareQuantized(each).accepted, false);
});

test("a model that answers more than 1 in int8 stays in float32, however little more", () => {
  const { accepted, verdict } = compareQuantized(measured({ quantized: answers([0.1, 1.0001], { log_loss: 0.4 }) }));
  assert.equal(accepted, false);
  assert.equal(verdict[0], "In int8 it answers 1.0001 for row 1, which is no probability.");
});

test("without labels the largest difference of a probability decides", () => {
  const unlabelled = { original: answers([0.1, 0.5]), comparedOn: "rows of the dataset" } as const;
  const near = compareQuantized(measured({ ...unlabelled, quantized: answers([0.11, 0.49]) }));
  assert.equal(near.accepted, true);
  const far = compareQuantized(measured({ ...unlabelled, quantized: answers([0.1, 0.53]) }));
  assert.equal(far.accepted, false);
  assert.equal(far.allowedDifference, 0.02);
  assert.match(
    far.verdict[0] ?? "",
    /On 2 rows of the dataset probabilities differ by at most 0\.0300; allowed are 0\.02\./,
  );
});

test("a model none of whose layers can be calculated in int8 stays as it is, and each says why", () => {
  const skipped = [{ node: "dense", operator: "Gemm", why: "it transposes its input (transA)" }];
  const { accepted, verdict, skippedLayers } = compareQuantized(measured({ layers: [], skipped, timings: [] }));
  assert.equal(accepted, false);
  assert.deepEqual(verdict, ["No layer could be quantized."]);
  assert.deepEqual(skippedLayers, ["Gemm dense: it transposes its input (transA)"]);
});
