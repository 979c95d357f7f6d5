import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { Algorithm, type Model, ModelSchema, Monotone, Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { candidateRows, requestsOf } from "./candidates.ts";
import type { BuiltDataset } from "./dataset.ts";
import { rowsOf } from "./rowsForTests.ts";
import { BINARY } from "./task.ts";

const DAY_MS = 86_400_000;
const modelOf = (parts: MessageInitShape<typeof ModelSchema>): Model =>
  create(ModelSchema, {
    task: Task.REGRESSION,
    candidates: [Algorithm.GBDT, Algorithm.BASELINE],
    ...(parts as object),
  });

/** One row a day. */
const rows = { ...rowsOf(BINARY, 40), occurredAtMs: Float64Array.from({ length: 40 }, (_, row) => row * DAY_MS) };
const dataset = { rows, asOfMs: 40 * DAY_MS } as unknown as BuiltDataset;
const part = (begin: number): Uint32Array => Uint32Array.from({ length: 10 }, (_, index) => begin + index);
const split = { train: part(0), validation: part(10), calibration: part(20), holdout: part(30), notes: [] };

test("candidates are trained in the app's order, with what it says of features, coverage and seed", () => {
  const model = modelOf({
    categorical: ["c", "gone"],
    monotone: { a: Monotone.INCREASING, b: Monotone.DECREASING, gone: Monotone.INCREASING },
    baseline: { kind: { case: "segmentMean", value: "c" } },
    coverage: 0.8,
    seed: 7,
  });
  const parts = candidateRows(dataset, split, model);
  assert.deepEqual(parts.train.categorical, ["c"]);
  assert.deepEqual(parts.holdout.labels, rows.labels.slice(30));
  const [trees, baseline] = requestsOf(model, parts, { threads: 2 });
  assert.equal(trees?.algorithm, "gbdt");
  assert.deepEqual(trees.monotone, { a: 1, b: -1 });
  assert.deepEqual([trees.coverage, trees.seed, trees.threads], [0.8, 7, 2]);
  assert.equal(baseline?.algorithm, "baseline");
  assert.deepEqual(baseline.baseline, { kind: "segment_mean", feature: "c" });
  assert.deepEqual(requestsOf(modelOf({}), parts, {})[1]?.baseline, { kind: "prior" });
});

test("a row counts half for each half-life that it is older than the newest, and the holdout's all count alike", () => {
  const parts = candidateRows(dataset, split, modelOf({ halfLife: durationFromMs(10 * DAY_MS) }));
  const newest = 39;
  assert.deepEqual(
    parts.train.weights,
    Float64Array.from({ length: 10 }, (_, row) => 0.5 ** ((newest - row) / 10)),
  );
  assert.equal(parts.calibration.weights?.[9], 0.5);
  assert.equal(parts.holdout.weights, undefined);
  assert.equal(candidateRows(dataset, split, modelOf({})).train.weights, undefined);
});
