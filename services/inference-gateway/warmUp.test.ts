import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { GraphBuilder } from "@millrace/onnx";
import { type ModelVersion, ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readModel } from "./modelSignature.ts";
import { sampleRows, warmUpVersion } from "./registryWarmUp.ts";
import { randomSampler } from "./sampleInputs.ts";
import { type WarmUpOptions, warmUp } from "./warmUp.ts";
import { logisticModel, rowMixingModel } from "./workers/onnxForTests.ts";

const modelVersion = (featureNames: string[]): ModelVersion =>
  create(ModelVersionSchema, { app: "flights", number: 1, artefact: "a", featureNames });

const anything = (graph: GraphBuilder): WarmUpOptions => {
  const { signature, bytes } = readModel(graph.toBytes());
  const sampler = randomSampler(signature, 1);
  return { artefact: "a", bytes, signature, maxRows: 8, proofRows: 8, sampler, maxThreads: 1 };
};

const refused = (pattern: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MillraceError);
  assert.equal(error.code, "failed_precondition");
  assert.match(error.message, pattern);
  return true;
};

test("a good model passes, and its cost is measured at three batch sizes", async () => {
  const { costs } = await warmUpVersion(modelVersion(["a", "b"]), readModel(logisticModel([1, -1])), 64);
  assert.deepEqual([...costs.keys()], [1, 8, 64]);
  for (const ms of costs.values()) assert.ok(ms > 0 && ms < 100);
});

test("a model with another number of columns is refused, saying both", async () => {
  const warm = warmUpVersion(modelVersion(["a", "b", "c"]), readModel(logisticModel([1, -1])), 8);
  await assert.rejects(warm, refused(/features FP32 \[-1, 2\]; expected features FP32 \[-1, 3\]/));
});

test("a model whose answer for a row depends on the other rows is refused", async () => {
  const warm = warmUpVersion(modelVersion(["a", "b"]), readModel(rowMixingModel([1, -1])), 8);
  await assert.rejects(warm, refused(/row \d+ in a batch of 64 gets/));
});

test("a model that ONNX Runtime does not know is refused", async () => {
  const graph = new GraphBuilder("unknown");
  graph.input("features", ["rows", 1]);
  graph.node("NoSuchOperator", ["features"], {}, { output: "probability" });
  graph.output("probability", ["rows", 1]);
  const warm = warmUpVersion(modelVersion(["a"]), readModel(graph.toBytes()), 8);
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

test("a model without a batch dimension, or whose rows cannot be told apart, is not batched, and the reason is given", async () => {
  const whole = new GraphBuilder("whole");
  whole.input("x", [2, 2]);
  whole.node("Identity", ["x"], {}, { output: "y" });
  whole.output("y", [2, 2]);
  const sum = new GraphBuilder("sum");
  sum.input("x", ["rows", 2]);
  sum.node("ReduceSum", ["x"], { keepdims: 0n }, { output: "y" });
  sum.output("y", []);
  const reasons = await Promise.all(
    [whole, sum].map(async (graph) => (await warmUp(anything(graph))).unbatchedBecause),
  );
  assert.equal(reasons[0], "it has no batch dimension");
  assert.match(reasons[1] ?? "", /y of row 0 in a batch of 8 cannot be told apart: its shape is \[\]/);
});

test("a model that needs little time keeps one thread; a slow one is measured with more, too", async () => {
  const product = (width: number): GraphBuilder => {
    const graph = new GraphBuilder("product");
    graph.input("x", ["rows", width]);
    const weights = graph.constant(new Float32Array(width * width).fill(0.001), [width, width]);
    graph.node("MatMul", ["x", weights], {}, { output: "y" });
    graph.output("y", ["rows", width]);
    return graph;
  };
  assert.equal((await warmUp({ ...anything(product(4)), maxThreads: 2 })).threads, 1);
  const slow = await warmUp({ ...anything(product(1_024)), maxRows: 512, maxThreads: 2 });
  assert.ok(slow.threads === 1 || slow.threads === 2);
  assert.deepEqual([...slow.costs.keys()], [1, 8, 512]);
});
