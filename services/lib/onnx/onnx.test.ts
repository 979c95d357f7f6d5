import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  TensorProto_DataType as DataType,
  type ModelProto,
  ModelProtoSchema,
  TypeProto_MapSchema,
  TypeProto_SequenceSchema,
} from "@millrace/proto/onnx/onnx_pb.ts";
import { type InferenceSession, Tensor } from "onnxruntime-node";
import { GraphBuilder, liftHalfPrecision, ML_DOMAIN, openSession, readSignature } from "./mod.ts";

/** y = 2 x + 1 */
function line(): Uint8Array {
  const graph = new GraphBuilder("line");
  const x = graph.input("x", ["rows", 2]);
  const doubled = graph.node("Mul", [x, graph.constant([2], [1])]);
  graph.node("Add", [doubled, graph.constant([1], [1])], {}, { output: "y" });
  graph.output("y", ["rows", 2]);
  return graph.toBytes({ "made.for": "a test" });
}

function altered(change: (model: ModelProto) => void): Uint8Array {
  const model = fromBinary(ModelProtoSchema, line());
  change(model);
  return toBinary(ModelProtoSchema, model);
}

async function using<Result>(bytes: Uint8Array, use: (session: InferenceSession) => Promise<Result>): Promise<Result> {
  const session = await openSession(bytes);
  try {
    return await use(session);
  } finally {
    await session.release();
  }
}

test("a graph that was built runs in ONNX Runtime", async () => {
  await using(line(), async (session) => {
    const { y } = await session.run({ x: new Tensor("float32", Float32Array.of(1, 2, 3, 4), [2, 2]) });
    assert.deepEqual(y?.dims, [2, 2]);
    assert.deepEqual(y?.data, Float32Array.of(3, 5, 7, 9));
  });
});

test("every kind of attribute is read as it was written", async () => {
  // One tree: x <= 0.5 gives 10, else 20; what is missing goes left.
  const graph = new GraphBuilder("tree");
  const x = graph.input("x", ["rows", 1]);
  graph.node(
    "TreeEnsembleRegressor",
    [x],
    {
      n_targets: 1n,
      aggregate_function: "SUM",
      base_values: { floats: [1] },
      nodes_treeids: { ints: [0, 0, 0] },
      nodes_nodeids: { ints: [0, 1, 2] },
      nodes_featureids: { ints: [0, 0, 0] },
      nodes_modes: { strings: ["BRANCH_LEQ", "LEAF", "LEAF"] },
      nodes_values: { floats: [0.5, 0, 0] },
      nodes_truenodeids: { ints: [1, 0, 0] },
      nodes_falsenodeids: { ints: [2, 0, 0] },
      nodes_missing_value_tracks_true: { ints: [1, 0, 0] },
      target_treeids: { ints: [0, 0] },
      target_nodeids: { ints: [1, 2] },
      target_ids: { ints: [0, 0] },
      target_weights: { floats: [10, 20] },
    },
    { output: "y", domain: ML_DOMAIN },
  );
  graph.output("y", ["rows", 1]);
  await using(graph.toBytes(), async (session) => {
    const { y } = await session.run({ x: new Tensor("float32", Float32Array.of(0.5, 0.6, Number.NaN), [3, 1]) });
    assert.deepEqual(y?.data, Float32Array.of(11, 21, 11));
  });
});

test("equal graphs give equal bytes", () => {
  assert.deepEqual(line(), line());
});

test("a signature names inputs and outputs with their types and shapes; constants are no inputs", () => {
  const listed = altered(({ graph }) => {
    // Older exporters list constants among the inputs.
    const [input] = graph?.input ?? [];
    if (input !== undefined) graph?.input.push({ ...input, name: graph.initializer[0]?.name ?? "" });
  });
  for (const bytes of [line(), listed]) {
    assert.deepEqual(readSignature(bytes), {
      inputs: [{ name: "x", datatype: "float", shape: [-1, 2] }],
      outputs: [{ name: "y", datatype: "float", shape: [-1, 2] }],
    });
  }
});

test("bytes that are no model are refused with what to do", async () => {
  const message = /are not an ONNX model .*; export it again, or check that the file arrived whole/;
  for (const bytes of [new Uint8Array(0), new TextEncoder().encode("<html>not found</html>"), line().subarray(0, 40)]) {
    await assert.rejects(openSession(bytes), { code: "invalid_argument", message });
  }
});

test("a model cut off where its bytes still parse is refused, never half loaded", async () => {
  const whole = line();
  for (let length = 0; length < whole.length; length += 1) {
    const outcome = await openSession(whole.subarray(0, length)).then(
      (session) => session.outputNames,
      (error: { code?: string }) => error.code,
    );
    // What follows the graph may be missing without harm to it, and then it is ONNX Runtime's to say.
    if (Array.isArray(outcome)) assert.deepEqual(outcome, ["y"]);
    else assert.equal(outcome, "invalid_argument");
  }
});

test("an operator that ONNX Runtime does not know is named", async () => {
  const bytes = altered(({ graph }) => {
    for (const node of graph?.node ?? []) if (node.opType === "Mul") node.opType = "Multiplicate";
  });
  await assert.rejects(openSession(bytes), {
    code: "invalid_argument",
    message: /ONNX Runtime cannot load the model: .*Multiplicate.*; check that/s,
  });
});

test("outputs that are no tensors are refused by name, with what to do", async () => {
  const kinds = [
    { value: { case: "sequenceType" as const, value: create(TypeProto_SequenceSchema) }, said: "a sequence" },
    { value: { case: "mapType" as const, value: create(TypeProto_MapSchema) }, said: "a map" },
  ];
  for (const { value, said } of kinds) {
    const bytes = altered(({ graph }) => {
      const type = graph?.output[0]?.type;
      if (type !== undefined) type.value = value;
    });
    const message = new RegExp(`"y" is ${said}, and only tensors can be served; .*zipmap=False`);
    await assert.rejects(openSession(bytes), { code: "invalid_argument", message });
  }
});

test("half precision at the model's edge is refused by name", async () => {
  const bytes = altered(({ graph }) => {
    const value = graph?.input[0]?.type?.value;
    if (value?.case === "tensorType") value.value.elemType = DataType.FLOAT16;
  });
  await assert.rejects(openSession(bytes), {
    code: "invalid_argument",
    message: /"x" is float16.*cast inputs and outputs/,
  });
});

test("half precision at the model's edge becomes float32 with a cast behind it, and other models stay as they are", async () => {
  for (const type of ["FLOAT16", "BFLOAT16"] as const) {
    const graph = new GraphBuilder("half");
    graph.input("x", ["rows", 2], type);
    graph.node("Identity", ["x"], {}, { output: "y" });
    graph.output("y", ["rows", 2], type);
    const bytes = graph.toBytes();
    assert.equal(readSignature(bytes).inputs[0]?.datatype, type.toLowerCase());
    await using(liftHalfPrecision(bytes), async (session) => {
      assert.deepEqual(session.inputNames, ["x_as_float"]);
      const feeds = { x_as_float: new Tensor("float32", Float32Array.of(1.5, -2, Infinity, 1.001), [2, 2]) };
      const { y_as_float } = await session.run(feeds);
      const rounded = type === "FLOAT16" ? 1.0009765625 : 1;
      assert.deepEqual(y_as_float?.data, Float32Array.of(1.5, -2, Infinity, rounded));
    });
  }
  assert.equal(liftHalfPrecision(line()).length, line().length);
});
