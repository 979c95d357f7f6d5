import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { openSession, readSignature } from "@millrace/onnx";
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  GraphProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  TypeProto_MapSchema,
  TypeProto_SequenceSchema,
} from "@millrace/proto/onnx/onnx_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { Tensor } from "onnxruntime-node";
import { inModelProcess } from "./modelProcess.ts";
import { altered, logistic, modelOf } from "./modelsForTests.ts";
import { modelTasks } from "./modelTasks.ts";

const NEVER = new AbortController().signal;
const refuses = (text: RegExp) => (error: unknown) =>
  error instanceof MillraceError && error.code === "invalid_argument" && text.test(error.message);

async function probabilities(onnx: Uint8Array, values: readonly number[], columns: number): Promise<number[]> {
  const session = await openSession(onnx);
  try {
    const features = new Tensor("float32", Float32Array.from(values), [values.length / columns, columns]);
    const { probability } = await session.run({ features });
    assert.deepEqual(probability?.dims, [values.length / columns, 1]);
    return Array.from(probability?.data as Float32Array);
  } finally {
    await session.release();
  }
}

const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));
const near = (actual: readonly number[], expected: readonly number[]): void => {
  for (const [index, value] of expected.entries())
    assert.ok(Math.abs((actual[index] as number) - value) < 1e-6, actual.join());
};

/** As scikit-learn exports it: a label, and a column of probabilities for each of two classes. */
const likeScikit = (): Uint8Array =>
  modelOf((graph) => {
    const x = graph.input("X", ["n", 2]);
    const score = graph.node("MatMul", [x, graph.constant([1, -1], [2, 1])]);
    const positive = graph.node("Sigmoid", [score]);
    const negative = graph.node("Sub", [graph.constant([1], [1]), positive]);
    const both = graph.node("Concat", [negative, positive], { axis: 1n }, { output: "probabilities" });
    graph.node("ArgMax", [both], { axis: 1n, keepdims: 0n }, { output: "label" });
    graph.output("label", ["n"]);
    graph.output("probabilities", ["n", 2]);
  });

test("a model in the form of a version comes back as it is, byte for byte", async () => {
  const file = logistic([1, 2]);
  assert.deepEqual(await modelTasks.check({ onnx: file, columns: 2 }), { onnx: file, adaptations: [] });
});

test("of scikit-learn's two columns the second is served, and the label is not", async () => {
  const file = altered(likeScikit(), ({ graph }) => {
    const type = graph?.output[0]?.type?.value;
    if (type?.case === "tensorType") type.value.elemType = DataType.INT64;
  });
  const { onnx, adaptations } = await modelTasks.check({ onnx: file, columns: 2 });
  near(await probabilities(onnx, [1, 0, 0, 2], 2), [sigmoid(1), sigmoid(-2)]);
  assert.deepEqual(adaptations, [
    'The input "X" is called "features".',
    'Not served: "label".',
    'Of the output "probabilities" [rows, 2] the second column, the positive class, becomes "probability".',
  ]);
  assert.deepEqual(readSignature(onnx).outputs, [{ name: "probability", datatype: "float", shape: [-1, 1] }]);
});

test("one number a row becomes a column, also where the names are taken within the graph", async () => {
  const file = modelOf((graph) => {
    const x = graph.input("probability", ["rows", 2]);
    const within = graph.node("MatMul", [x, graph.constant([1, 1], [2, 1])], {}, { output: "features" });
    const axes = graph.node("Shape", [graph.node("Shape", [within])]);
    const squeezed = graph.node("ReduceMax", [graph.node("Sigmoid", [within])], { axes: { ints: [1] }, keepdims: 0n });
    graph.node("Identity", [axes], {}, { output: "probability_shape" });
    graph.node("Identity", [squeezed], {}, { output: "y" });
    graph.output("y", ["rows"]);
  });
  const { onnx, adaptations } = await modelTasks.check({ onnx: file, columns: 2 });
  near(await probabilities(onnx, [1, 0, 0, -2], 2), [sigmoid(1), sigmoid(-2)]);
  assert.deepEqual(adaptations, [
    'The input "probability" is called "features".',
    'The output "y" [rows] becomes "probability" [rows, 1].',
  ]);
});

const typed = (elemType: DataType) =>
  altered(logistic([1, 2]), ({ graph }) => {
    const type = graph?.input[0]?.type?.value;
    if (type?.case === "tensorType") type.value.elemType = elemType;
  });

const UNFIT: Readonly<Record<string, { file: () => Uint8Array; columns?: number; text: RegExp }>> = {
  "bytes that are no model": { file: () => new Uint8Array(20), text: /20 bytes are not an ONNX model/ },
  "a sequence of maps as output": {
    file: () =>
      altered(likeScikit(), ({ graph }) => {
        const type = graph?.output[1]?.type;
        if (type !== undefined) type.value = { case: "sequenceType", value: create(TypeProto_SequenceSchema) };
      }),
    text: /"probabilities" is a sequence.*export with zipmap=False/,
  },
  "a map as output": {
    file: () =>
      altered(likeScikit(), ({ graph }) => {
        const type = graph?.output[1]?.type;
        if (type !== undefined) type.value = { case: "mapType", value: create(TypeProto_MapSchema) };
      }),
    text: /"probabilities" is a map/,
  },
  "an operator that ONNX Runtime does not know": {
    file: () =>
      altered(logistic([1, 2]), ({ graph }) => {
        for (const node of graph?.node ?? []) if (node.opType === "Sigmoid") node.opType = "Sigmoidal";
      }),
    text: /ONNX Runtime cannot load the model: .*Sigmoidal/s,
  },
  "half precision": { file: () => typed(DataType.FLOAT16), text: /is float16.*float input/ },
  "doubles as input": { file: () => typed(DataType.DOUBLE), text: /"features" is double; features are float32/ },
  "two inputs": {
    file: () =>
      modelOf((graph) => {
        const sum = graph.node("Add", [graph.input("a", ["rows", 1]), graph.input("b", ["rows", 1])]);
        graph.node("Sigmoid", [sum], {}, { output: "probability" });
        graph.output("probability", ["rows", 1]);
      }),
    text: /has 2 inputs \("a", "b"\); export it with one/,
  },
  "a column too many": { file: () => logistic([1, 2, 3]), text: /has the shape \[-1, 3\]; expected \[rows, 2\]/ },
  "one row a run": {
    file: () =>
      altered(logistic([1, 2]), ({ graph }) => {
        const type = graph?.input[0]?.type?.value;
        const [rows] = type?.case === "tensorType" ? (type.value.shape?.dim ?? []) : [];
        if (rows !== undefined) rows.value = { case: "dimValue", value: 1n };
      }),
    text: /takes 1 rows, always; .*dynamic_axes/,
  },
  "three classes": {
    file: () =>
      modelOf((graph) => {
        const score = graph.node("MatMul", [graph.input("x", ["rows", 2]), graph.constant([1, 2, 3, 4, 5, 6], [2, 3])]);
        graph.node("Softmax", [score], {}, { output: "y" });
        graph.output("y", ["rows", 3]);
      }),
    text: /outputs are "y" float32 \[rows, 3\]; none of them is the probability/,
  },
  "two outputs that could be it": {
    file: () =>
      modelOf((graph) => {
        const x = graph.input("x", ["rows", 2]);
        graph.node("Sigmoid", [x], {}, { output: "one" });
        graph.node("Softmax", [x], {}, { output: "other" });
        graph.output("one", ["rows", 2]);
        graph.output("other", ["rows", 2]);
      }),
    text: /more than one of them could be the probability/,
  },
  "log odds instead of probabilities": {
    file: () =>
      altered(logistic([9, 9]), ({ graph }) => {
        for (const node of graph?.node ?? []) if (node.opType === "Sigmoid") node.opType = "Identity";
      }),
    text: /which is no probability; end it with a Sigmoid/,
  },
  "answers that depend on the batch": {
    file: () =>
      modelOf((graph) => {
        const x = graph.input("features", ["rows", 2]);
        const score = graph.node("MatMul", [x, graph.constant([1, 1], [2, 1])]);
        const mean = graph.node("ReduceMean", [score], { axes: { ints: [0] } });
        graph.node("Sigmoid", [graph.node("Sub", [score, mean])], {}, { output: "probability" });
        graph.output("probability", ["rows", 1]);
      }),
    text: /a row gets .* in a batch of 16 and .* alone; .*upload the float model and have it quantized here/,
  },
};

for (const [what, { file, text }] of Object.entries(UNFIT)) {
  test(`a model with ${what} is refused with what to do`, async () => {
    await assert.rejects(modelTasks.check({ onnx: file(), columns: 2 }), refuses(text));
  });
}

test("in a process of its own a task answers, and refuses, as it does here", async () => {
  const file = logistic([1, 2], { input: "x" });
  const here = await modelTasks.check({ onnx: file, columns: 2 });
  const there = await inModelProcess("check", { onnx: file, columns: 2 }, NEVER);
  assert.deepEqual(there.adaptations, here.adaptations);
  assert.deepEqual(new Uint8Array(there.onnx), here.onnx);
  await assert.rejects(inModelProcess("check", { onnx: file, columns: 3 }, NEVER), refuses(/expected \[rows, 3\]/));
});

/** A Loop that goes round 2^62 times. */
function endless(): Uint8Array {
  return altered(logistic([1, 2]), ({ graph }) => {
    if (graph === undefined) return;
    const [half] = graph.initializer;
    assert.ok(half !== undefined);
    half.dims = [];
    const value = (name: string, elemType: DataType) => ({
      name,
      type: { value: { case: "tensorType" as const, value: { elemType, shape: { dim: [] } } } },
    });
    const g = create(GraphProtoSchema, {
      name: "body",
      node: [
        { opType: "Identity", input: ["go"], output: ["again"] },
        { opType: "Identity", input: ["before"], output: ["after"] },
      ],
      input: [value("count", DataType.INT64), value("go", DataType.BOOL), value("before", DataType.FLOAT)],
      output: [value("again", DataType.BOOL), value("after", DataType.FLOAT)],
    });
    const rawData = new Uint8Array(BigInt64Array.of(2n ** 62n).buffer);
    graph.initializer.push(create(TensorProtoSchema, { name: "often", dataType: DataType.INT64, rawData }));
    for (const node of graph.node) node.input = node.input.map((name) => (name === half.name ? "looped" : name));
    const attribute = [{ name: "body", type: AttributeType.GRAPH, g }];
    const loop = { opType: "Loop", input: ["often", "", half.name], output: ["looped"], attribute };
    graph.node.unshift(create(NodeProtoSchema, loop));
  });
}

test("a model that never ends is stopped with its caller, and does not stop anybody else", async () => {
  const stopped = new Error("the caller has gone");
  const caller = new AbortController();
  const trying = inModelProcess("check", { onnx: endless(), columns: 2 }, caller.signal);
  const other = inModelProcess("check", { onnx: logistic([1, 2]), columns: 2 }, NEVER).then(() => "the other");
  assert.equal(await Promise.race([trying, other]), "the other");
  caller.abort(stopped);
  await assert.rejects(trying, stopped);
});
