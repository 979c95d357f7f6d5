import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type ModelVersion, ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { sampleRows, warmUp } from "./warmUp.ts";
import { logisticModel, rowMixingModel } from "./workers/onnxForTests.ts";

const modelVersion = (featureNames: string[]): ModelVersion =>
  create(ModelVersionSchema, { app: "flights", number: 1, artefact: "a", featureNames });

const refused = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MillraceError);
  assert.equal(error.code, "failed_precondition");
  assert.match(error.message, pattern);
  return true;
};

test("a good model passes, and its cost is measured at three batch sizes", async () => {
  const costs = await warmUp(modelVersion(["a", "b"]), logisticModel([1, -1]), 64);
  assert.deepEqual([...costs.keys()], [1, 8, 64]);
  for (const ms of costs.values()) assert.ok(ms > 0 && ms < 100);
});

test("a model with another number of columns is refused, saying both", async () => {
  const warm = warmUp(modelVersion(["a", "b", "c"]), logisticModel([1, -1]), 8);
  await assert.rejects(warm, refused(/features float32 \[-1, 2\]; expected features float32 \[-1, 3\]/));
});

test("a model whose answer for a row depends on the other rows is refused", async () => {
  const warm = warmUp(modelVersion(["a", "b"]), rowMixingModel([1, -1]), 8);
  await assert.rejects(warm, refused(/row \d+ of a batch of 64 gets/));
});

test("bytes that are no model are refused", async () => {
  const warm = warmUp(modelVersion(["a"]), new TextEncoder().encode("no model"), 8);
  await assert.rejects(warm, refused(/ONNX Runtime cannot load the model/));
});

test("the rows of a warm-up follow the training set's distributions", () => {
  const model = modelVersion(["x"]);
  model.reference = create(ModelVersionSchema, {
    reference: { rows: 1n, features: [{ name: "x", edges: [1, 2, 3], shares: [0, 0.5, 0.5, 0], missing: 0.25 }] },
  }).reference as NonNullable<ModelVersion["reference"]>;
  const rows = sampleRows(model, 4_000);
  const missing = rows.filter(Number.isNaN).length;
  assert.ok(missing > 800 && missing < 1_200, `${missing} missing`);
  assert.ok(rows.every((value) => Number.isNaN(value) || (value >= 1 && value <= 3)));
});
