import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type ModelProto,
  NodeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "@millrace/proto/onnx/onnx_pb.ts";
import { Tensor } from "onnxruntime-node";
import { type Attribute, GraphBuilder, modelBytes, openSession, parseModel, quantizeDense } from "./mod.ts";
import { floatsOf } from "./tensorData.ts";

/** Deterministic numbers, normally distributed. */
function normal(count: number, seed: number): Float32Array {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length: count },
    () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

interface Net {
  readonly sizes: readonly number[];
  readonly operator?: "MatMul" | "Gemm";
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly bias?: boolean;
  readonly activation?: string;
  /** Dimensions before the last of the input. */
  readonly leading?: readonly (number | string)[];
}

/** A dense net from `x` to `y`, its weights such that values keep their spread from layer to layer. */
function net({
  sizes,
  operator = "MatMul",
  attributes = {},
  bias = true,
  activation = "Relu",
  leading = ["rows"],
}: Net): ModelProto {
  const graph = new GraphBuilder("net");
  let value = graph.input("x", [...leading, sizes[0] as number]);
  for (const [index, rows] of sizes.slice(0, -1).entries()) {
    const columns = sizes[index + 1] as number;
    const isLast = index === sizes.length - 2;
    const values = normal(rows * columns, index + 1).map((weight) => weight * Math.sqrt(2 / rows));
    const weights = graph.constant(values, attributes["transB"] === 1n ? [columns, rows] : [rows, columns]);
    const offsets = bias
      ? [
          graph.constant(
            normal(columns, index + 100).map((each) => each * 0.1),
            [columns],
          ),
        ]
      : [];
    const output = isLast ? { output: "y" } : {};
    if (operator === "Gemm") {
      value = graph.node("Gemm", [value, weights, ...offsets], attributes, isLast ? output : {});
    } else {
      const [offset] = offsets;
      value = graph.node("MatMul", [value, weights], {}, offset === undefined ? output : {});
      if (offset !== undefined) value = graph.node("Add", [value, offset], {}, output);
    }
    if (!isLast) value = graph.node(activation, [value]);
  }
  graph.output("y", [...leading, sizes.at(-1) as number]);
  return parseModel(graph.toBytes());
}

async function run(model: ModelProto, inputs: Float32Array, dims: readonly number[]): Promise<Float32Array> {
  const session = await openSession(modelBytes(model));
  try {
    const { y } = await session.run({ x: new Tensor("float32", inputs, dims) });
    return y?.data as Float32Array;
  } finally {
    await session.release();
  }
}

const spread = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value ** 2, 0) / values.length);
const largestDifference = (left: Float32Array, right: Float32Array): number =>
  left.reduce((largest, value, index) => Math.max(largest, Math.abs(value - (right[index] as number))), 0);
const operatorsOf = (model: ModelProto): string[] => model.graph?.node.map(({ opType }) => opType) ?? [];

/** Of the root mean square of the answers: what rounding to 7 and 8 bits may change in a net of up to four layers. */
const BOUND = 0.12;
const ALL = { minWeights: 0 };

const NETS: Readonly<Record<string, Net>> = {
  "of MatMul without bias": { sizes: [8, 16], bias: false },
  "of MatMul and Add": { sizes: [20, 64, 32, 1] },
  "of Gemm": { sizes: [20, 64, 32, 3], operator: "Gemm" },
  "of Gemm without bias": { sizes: [33, 17, 5], operator: "Gemm", bias: false },
  "of Gemm with transposed weights": { sizes: [20, 48, 24, 2], operator: "Gemm", attributes: { transB: 1n } },
  "of Gemm that scales": { sizes: [20, 48, 2], operator: "Gemm", attributes: { transB: 1n, alpha: 0.5 } },
  "with answers between 0 and 1": { sizes: [12, 64, 64, 1], activation: "Sigmoid" },
  "with answers of both signs": { sizes: [12, 64, 64, 1], activation: "Tanh" },
  "with inputs of three dimensions": { sizes: [16, 64, 8], leading: ["rows", 5] },
  "of one row": { sizes: [40, 100, 100, 100, 30], leading: [1] },
};

for (const [name, shape] of Object.entries(NETS)) {
  test(`a dense net ${name} answers in int8 as in float32, within ${BOUND} of its answers' size`, async () => {
    const model = net(shape);
    const { model: quantized, layers, skipped } = quantizeDense(model, ALL);
    assert.equal(layers.length, shape.sizes.length - 1);
    assert.deepEqual(skipped, []);
    assert.equal(operatorsOf(quantized).filter((operator) => operator === "MatMulInteger").length, layers.length);
    assert.ok(!operatorsOf(quantized).some((operator) => operator === "MatMul" || operator === "Gemm"));
    const dims = (shape.leading ?? ["rows"]).map((size) => (typeof size === "number" ? size : 50));
    const rows = dims.reduce((product, size) => product * size, 1);
    const inputs = normal(rows * (shape.sizes[0] as number), 7);
    const expected = await run(model, inputs, [...dims, shape.sizes[0] as number]);
    const answers = await run(quantized, inputs, [...dims, shape.sizes[0] as number]);
    assert.equal(answers.length, expected.length);
    const difference = largestDifference(expected, answers) / spread(expected);
    assert.ok(difference > 0 && difference < BOUND, `differs by ${difference} of the spread`);
  });
}

test("a row's answer is the same whatever it is batched with, also with values a million times its own", async () => {
  const { model } = quantizeDense(net({ sizes: [20, 64, 64, 1] }), ALL);
  const row = normal(20, 3);
  const alone = await run(model, row, [1, 20]);
  const others = normal(20 * 9, 4).map((value) => value * 1e6);
  const together = await run(model, Float32Array.of(...others, ...row), [10, 20]);
  assert.equal(together[9], alone[0]);
});

test("rows of zeros, and values near the ends of float32, give numbers; what is not a number stays none", async () => {
  const model = net({ sizes: [4, 8, 1], activation: "Tanh" });
  const { model: quantized } = quantizeDense(model, ALL);
  const inputs = Float32Array.of(0, 0, 0, 0, 1e-38, 0, 0, 1e-38, 1e37, -1e37, 0, 1, Number.NaN, 1, 1, 1);
  const expected = await run(model, inputs, [4, 4]);
  const answers = await run(quantized, inputs, [4, 4]);
  for (const row of [0, 1, 2]) {
    assert.ok(Math.abs((answers[row] as number) - (expected[row] as number)) < 0.05, `row ${row}: ${answers[row]}`);
  }
  assert.ok(Number.isNaN(expected[3]) && Number.isNaN(answers[3]), `${expected[3]} and ${answers[3]}`);
});

test("more steps for the weights bring the answers nearer", async () => {
  const model = net({ sizes: [64, 128, 128, 16] });
  const inputs = normal(64 * 64, 5);
  const expected = await run(model, inputs, [64, 64]);
  const [few, many] = await Promise.all(
    ([64, 127] as const).map((steps) => run(quantizeDense(model, { ...ALL, steps }).model, inputs, [64, 64])),
  );
  const error = (answers: Float32Array | undefined): number =>
    spread((answers ?? new Float32Array(0)).map((value, index) => value - (expected[index] as number)));
  assert.ok(error(many) < error(few), `${error(many)} and ${error(few)}`);
});

test("a large net's file shrinks to about a quarter", () => {
  const model = net({ sizes: [64, 512, 512, 1] });
  const { model: quantized, layers, skipped } = quantizeDense(model);
  assert.deepEqual(
    layers.map(({ rows, columns }) => [rows, columns]),
    [
      [64, 512],
      [512, 512],
    ],
  );
  assert.match(skipped[0]?.why ?? "", /too small: 512 × 1 weights, int8 begins to pay at 32768/);
  const ratio = modelBytes(model).length / modelBytes(quantized).length;
  assert.ok(ratio > 3.7 && ratio < 4.1, `${ratio} times smaller`);
});

test("weights are read from float_data, from Constant nodes, and where old files list them as inputs", async () => {
  const inputs = normal(60, 5);
  const expected = await run(quantizeDense(net({ sizes: [20, 64, 1] }), ALL).model, inputs, [3, 20]);
  const changes: Readonly<Record<string, (model: ModelProto) => void>> = {
    float_data: ({ graph }) => {
      for (const tensor of graph?.initializer ?? []) {
        tensor.floatData = Array.from(floatsOf(tensor) ?? []);
        tensor.rawData = new Uint8Array(0);
      }
    },
    Constant: ({ graph }) => {
      if (graph === undefined) return;
      const nodes = graph.initializer.map((tensor) =>
        create(NodeProtoSchema, {
          opType: "Constant",
          output: [tensor.name],
          attribute: [{ name: "value", type: AttributeType.TENSOR, t: tensor }],
        }),
      );
      graph.node.unshift(...nodes);
      graph.initializer = [];
    },
    "inputs of IR version 3": (model) => {
      model.irVersion = 3n;
      for (const { name, dims } of model.graph?.initializer ?? []) model.graph?.input.push(inputOf(name, dims));
    },
  };
  for (const [name, change] of Object.entries(changes)) {
    const model = net({ sizes: [20, 64, 1] });
    change(model);
    const { model: quantized, layers } = quantizeDense(model, ALL);
    assert.equal(layers.length, 2, name);
    assert.ok(modelBytes(quantized).length < modelBytes(model).length, name);
    assert.deepEqual(await run(quantized, inputs, [3, 20]), expected, name);
  }
});

test("weights of a model that was read from a Buffer, wherever in it they begin, are read", () => {
  const bytes = modelBytes(net({ sizes: [5, 3, 1] }));
  for (const offset of [0, 1, 2, 3]) {
    const model = parseModel(Buffer.concat([Buffer.alloc(offset), bytes]).subarray(offset));
    assert.deepEqual(
      modelBytes(quantizeDense(model, ALL).model),
      modelBytes(quantizeDense(net({ sizes: [5, 3, 1] }), ALL).model),
    );
  }
});

test("layers of the same input and weights share them, and float weights that something else reads stay", async () => {
  const graph = new GraphBuilder("shared");
  const x = graph.input("x", ["rows", 8]);
  const weights = graph.constant(normal(64, 1), [8, 8]);
  const twice = graph.node("Add", [graph.node("MatMul", [x, weights]), graph.node("MatMul", [x, weights])]);
  graph.node("Add", [twice, graph.node("ReduceSum", [weights])], {}, { output: "y" });
  graph.output("y", ["rows", 8]);
  const model = parseModel(graph.toBytes());
  const { model: quantized } = quantizeDense(model, ALL);
  assert.equal(operatorsOf(quantized).filter((operator) => operator === "QuantizeLinear").length, 1);
  const inputs = normal(32, 2);
  const expected = await run(model, inputs, [4, 8]);
  assert.ok(largestDifference(expected, await run(quantized, inputs, [4, 8])) < BOUND * spread(expected));
});

test("a model of opset 18, whose ReduceMax takes its axes as an input, runs", async () => {
  const model = net({ sizes: [20, 64, 1] });
  const expected = await run(quantizeDense(model, ALL).model, normal(40, 1), [2, 20]);
  for (const opset of model.opsetImport) if (opset.domain === "") opset.version = 18n;
  assert.deepEqual(await run(quantizeDense(model, ALL).model, normal(40, 1), [2, 20]), expected);
});

for (const [what, change, why] of [
  [
    "computed weights",
    (model) => void Object.assign(model.graph?.node[0] ?? {}, { input: ["x", "x"] }),
    /"x" are not constant/,
  ],
  [
    "replaceable weights",
    (model) => void model.graph?.input.push(inputOf("constant_1", [20n, 64n])),
    /are not constant/,
  ],
  [
    "weights in a file beside it",
    (model) => setWeights(model, { dataLocation: DataLocation.EXTERNAL }),
    /not float32 within the model/,
  ],
  [
    "weights that are cut off",
    (model) => setWeights(model, { rawData: new Uint8Array(10) }),
    /not float32 within the model/,
  ],
  ["weights of three dimensions", (model) => setWeights(model, { dims: [1n, 20n, 64n] }), /have 3 dimensions/],
  [
    "infinite weights",
    (model) => setWeights(model, { rawData: new Uint8Array(new Float32Array(1_280).fill(Infinity).buffer) }),
    /not all finite/,
  ],
  ["an old opset", (model) => model.opsetImport.forEach((each) => (each.version = 10n)), /opset is 10; int8 needs 11/],
] as const satisfies readonly (readonly [string, (model: ModelProto) => void, RegExp])[]) {
  test(`a layer with ${what} is left alone, and it is said why`, () => {
    const model = net({ sizes: [20, 64], bias: false });
    change(model);
    const before = modelBytes(model);
    const { model: same, layers, skipped } = quantizeDense(model, ALL);
    assert.deepEqual(layers, []);
    assert.equal(skipped.length, 1);
    assert.match(skipped[0]?.why ?? "", why);
    assert.deepEqual(modelBytes(same), before);
  });
}

function inputOf(name: string, dims: readonly bigint[]): ValueInfoProto {
  const dim = dims.map((size) => ({ value: { case: "dimValue" as const, value: size } }));
  const tensor = { case: "tensorType" as const, value: { elemType: DataType.FLOAT, shape: { dim } } };
  return create(ValueInfoProtoSchema, { name, type: { value: tensor } });
}

function setWeights(model: ModelProto, change: object): void {
  Object.assign(model.graph?.initializer[0] ?? {}, change);
}

for (const [attributes, why] of [
  [{ transA: 1n }, /transposes its input/],
  [{ beta: 2 }, /scales its bias \(beta 2\)/],
] as const) {
  test(`a Gemm with ${Object.keys(attributes).join()} is left alone`, () => {
    const { layers, skipped } = quantizeDense(net({ sizes: [8, 8], operator: "Gemm", attributes }), ALL);
    assert.deepEqual(layers, []);
    assert.match(skipped[0]?.why ?? "", why);
  });
}

test("a model without dense layers, with operators of other domains, comes back as it was", () => {
  const graph = new GraphBuilder("others");
  const x = graph.input("x", ["rows", 2]);
  graph.node("MatMul", [x, graph.constant([1, 2, 3, 4], [2, 2])], {}, { output: "y", domain: "com.example" });
  graph.output("y", ["rows", 2]);
  const model = parseModel(graph.toBytes());
  assert.deepEqual(quantizeDense(model, ALL), { model, layers: [], skipped: [] });
});

test("the model that was given is not changed", () => {
  const model = net({ sizes: [20, 64, 1] });
  const before = modelBytes(model);
  quantizeDense(model, ALL);
  assert.deepEqual(modelBytes(model), before);
});
