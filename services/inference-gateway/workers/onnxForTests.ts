/** Small ONNX models for the tests, written byte by byte (onnx.proto3 of ONNX 1.16; the field numbers stand beside). */

const FLOAT = 1;
const INT64 = 7;
const BOOL = 9;

type Bytes = readonly number[];

const varint = (value: number): number[] => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  bytes.push(rest);
  return bytes;
};
const number = (field: number, value: number): Bytes => [...varint(field << 3), ...varint(value)];
const bytes = (field: number, value: Bytes): Bytes => [...varint((field << 3) | 2), ...varint(value.length), ...value];
const text = (field: number, value: string): Bytes => bytes(field, [...new TextEncoder().encode(value)]);

/** ValueInfoProto: name 1, type 2 { tensor_type 1 { elem_type 1, shape 2 { dim 1 { dim_value 1 | dim_param 2 } } } }. */
function value(name: string, type: number, shape: readonly (number | string)[]): Bytes {
  const dims = shape.flatMap((dim) => bytes(1, typeof dim === "number" ? number(1, dim) : text(2, dim)));
  return [...text(1, name), ...bytes(2, bytes(1, [...number(1, type), ...bytes(2, dims)]))];
}

/** TensorProto: dims 1, data_type 2, name 8, raw_data 9. */
function floats(name: string, shape: readonly number[], values: readonly number[]): Bytes {
  const raw = [...new Uint8Array(new Float32Array(values).buffer)];
  return [...shape.flatMap((dim) => number(1, dim)), ...number(2, FLOAT), ...text(8, name), ...bytes(9, raw)];
}

function boolean(name: string, value: boolean): Bytes {
  return [...number(2, BOOL), ...text(8, name), ...bytes(9, [value ? 1 : 0])];
}

/** NodeProto: input 1, output 2, op_type 4, attribute 5. */
function node(operator: string, inputs: readonly string[], outputs: readonly string[], attributes: Bytes = []): Bytes {
  return [
    ...inputs.flatMap((name) => text(1, name)),
    ...outputs.flatMap((name) => text(2, name)),
    ...text(4, operator),
    ...attributes,
  ];
}

/** AttributeProto: name 1, i 3, g 6, type 20 (INT 2, GRAPH 5). */
const whole = (name: string, value: number): Bytes =>
  bytes(5, [...text(1, name), ...number(3, value), ...number(20, 2)]);
const subgraph = (name: string, graph: Bytes): Bytes =>
  bytes(5, [...text(1, name), ...bytes(6, graph), ...number(20, 5)]);

interface Graph {
  readonly nodes: readonly Bytes[];
  readonly constants?: readonly Bytes[];
  readonly inputs: readonly Bytes[];
  readonly outputs: readonly Bytes[];
}

/** GraphProto: node 1, name 2, initializer 5, input 11, output 12. */
function graph({ nodes, constants = [], inputs, outputs }: Graph): Bytes {
  return [
    ...nodes.flatMap((each) => bytes(1, each)),
    ...text(2, "graph"),
    ...constants.flatMap((each) => bytes(5, each)),
    ...inputs.flatMap((each) => bytes(11, each)),
    ...outputs.flatMap((each) => bytes(12, each)),
  ];
}

/** ModelProto: ir_version 1, graph 7, opset_import 8 { version 2 }. */
const model = (content: Graph): Uint8Array =>
  Uint8Array.from([...number(1, 8), ...bytes(7, graph(content)), ...bytes(8, number(2, 17))]);

const columnsOf = (weights: readonly number[]): Bytes => value("features", FLOAT, ["rows", weights.length]);
const PROBABILITY = value("probability", FLOAT, ["rows", 1]);

/** Missing values count as 0; then sigmoid(weights · features + bias). */
export function logisticModel(weights: readonly number[], bias = 0): Uint8Array {
  return model({
    nodes: [...logistic("features"), node("Sigmoid", ["score"], ["probability"])],
    constants: logisticConstants(weights, bias),
    inputs: [columnsOf(weights)],
    outputs: [PROBABILITY],
  });
}

/** Like `logisticModel`, but it first counts to the batch's largest value of the last column: a large one never ends. */
export function countingModel(weights: readonly number[], bias = 0): Uint8Array {
  const body = graph({
    nodes: [node("Identity", ["go"], ["go_on"]), node("Add", ["count", "zero"], ["count_on"])],
    inputs: [value("turn", INT64, []), value("go", BOOL, []), value("count", FLOAT, [])],
    outputs: [value("go_on", BOOL, []), value("count_on", FLOAT, [])],
  });
  return model({
    nodes: [
      ...logistic("features"),
      node("ReduceMax", ["known"], ["largest"], whole("keepdims", 0)),
      node("Cast", ["largest"], ["turns"], whole("to", INT64)),
      node("Loop", ["turns", "yes", "zero"], ["counted"], subgraph("body", body)),
      node("Add", ["score", "counted"], ["total"]),
      node("Sigmoid", ["total"], ["probability"]),
    ],
    constants: [...logisticConstants(weights, bias), boolean("yes", true)],
    inputs: [columnsOf(weights)],
    outputs: [PROBABILITY],
  });
}

/** Adds up the whole batch: its answer for a row depends on the other rows, which batching must not allow. */
export function rowMixingModel(weights: readonly number[]): Uint8Array {
  return model({
    nodes: [
      ...logistic("features"),
      node("ReduceSum", ["score"], ["sum"], whole("keepdims", 0)),
      node("Add", ["score", "sum"], ["total"]),
      node("Sigmoid", ["total"], ["probability"]),
    ],
    constants: logisticConstants(weights, 0.1),
    inputs: [columnsOf(weights)],
    outputs: [PROBABILITY],
  });
}

function logistic(input: string): Bytes[] {
  return [
    node("IsNaN", [input], ["missing"]),
    node("Where", ["missing", "zero", input], ["known"]),
    node("MatMul", ["known", "weights"], ["product"]),
    node("Add", ["product", "bias"], ["score"]),
  ];
}

function logisticConstants(weights: readonly number[], bias: number): Bytes[] {
  return [floats("weights", [weights.length, 1], weights), floats("bias", [1], [bias]), floats("zero", [], [0])];
}
