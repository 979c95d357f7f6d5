import { create } from "@bufbuild/protobuf";
import { type GraphProto, type NodeProto, NodeProtoSchema, type TensorProto } from "@millrace/proto/onnx/onnx_pb.ts";
import type { DenseLayer } from "./denseLayer.ts";
import { type Attribute, attributeOf } from "./graph.ts";
import { type GraphNames, usedNames } from "./graphNames.ts";
import type { Int8Weights } from "./int8Weights.ts";
import { tensorOf } from "./tensorData.ts";

/** A value rounded to uint8: `(rounded - zeroPoint) * scale` is about the value. */
interface Rounded {
  readonly rounded: string;
  /** float32 [..., 1]: one per row. */
  readonly scale: string;
  readonly zeroPoint: string;
}

/** ReduceMax takes its axes as an input since. */
const AXES_INPUT_OPSET = 18;
/** Operators whose answers are never negative: all 256 steps of a uint8 are for what is above 0. */
const NOT_NEGATIVE = new Set(["Relu", "Sigmoid", "Softmax"]);
const FLOAT = 1n;

/** The nodes and constants of a graph whose dense layers are calculated in whole numbers. */
export class Int8Graph {
  readonly #names: GraphNames;
  readonly #opset: number;
  readonly #nodes: NodeProto[] = [];
  readonly #constants: TensorProto[] = [];
  /** Names of constants that stand for the same in every layer. */
  readonly #shared = new Map<string, string>();
  /** Values that were rounded already: several layers may have the same input. */
  readonly #rounded = new Map<string, Rounded>();
  /** Float weights that a layer in int8 no longer needs. */
  readonly #replaced = new Set<string>();

  constructor(names: GraphNames, opset: number) {
    this.#names = names;
    this.#opset = opset;
  }

  /** Takes a node as it is. */
  keep(node: NodeProto): void {
    this.#nodes.push(node);
  }

  /** Puts nodes for a layer where its node was; they make the same output. */
  dense(
    { output: [output = ""] }: NodeProto,
    { input, weightName, rows, columns, bias }: DenseLayer,
    int8: Int8Weights,
  ): void {
    this.#replaced.add(weightName);
    const { rounded, scale, zeroPoint } = this.#roundRows(input);
    const weights = this.#constant(`${weightName}_int8`, int8.values, [rows, columns]);
    const weightScales = this.#constant(`${weightName}_scale`, int8.scales, [columns]);
    const weightZero = this.#sharedConstant("int8_zero", Int8Array.of(0));
    const sums = this.#node("MatMulInteger", [rounded, weights, zeroPoint, weightZero], output);
    const floats = this.#node("Cast", [sums], output, { to: FLOAT });
    const inRowSteps = this.#node("Mul", [floats, scale], output);
    if (bias === undefined) {
      this.#add("Mul", [inRowSteps, weightScales], output);
      return;
    }
    const product = this.#node("Mul", [inRowSteps, weightScales], output);
    this.#add("Add", [product, bias], output);
  }

  /** Puts the nodes and constants in the place of the graph's; float weights that nothing reads any more are left out. */
  replace(graph: GraphProto): void {
    const used = usedNames(this.#nodes.filter(({ opType }) => opType !== "Constant"));
    for (const { name } of graph.output) used.add(name);
    const isGone = (name = ""): boolean => this.#replaced.has(name) && !used.has(name);
    graph.node = this.#nodes.filter(({ opType, output }) => opType !== "Constant" || !isGone(output[0]));
    graph.initializer = [...graph.initializer.filter(({ name }) => !isGone(name)), ...this.#constants];
    graph.input = graph.input.filter(({ name }) => !isGone(name));
  }

  /** Each row in 255 steps from 0, or 127 to either side of it, to its largest value. */
  #roundRows(input: string): Rounded {
    const known = this.#rounded.get(input);
    if (known !== undefined) return known;
    const notNegative = NOT_NEGATIVE.has(this.#names.maker(input)?.opType ?? "");
    const sizes = notNegative ? input : this.#node("Abs", [input], input);
    const largest = this.#largestOfRows(sizes, input);
    // A row of zeros has to be divided by something.
    const floor = this.#sharedConstant("smallest_largest", Float32Array.of(1e-30));
    const atLeast = this.#node("Max", [largest, floor], input);
    const steps = this.#sharedConstant(`steps_${notNegative}`, Float32Array.of(notNegative ? 1 / 255 : 1 / 127));
    const scale = this.#node("Mul", [atLeast, steps], `${input}_scale`);
    const inSteps = this.#node("Div", [input, scale], input);
    const one = this.#sharedConstant("one", Float32Array.of(1));
    const zeroPoint = this.#sharedConstant(`zero_point_${notNegative}`, Uint8Array.of(notNegative ? 0 : 128));
    const rounded = { rounded: this.#node("QuantizeLinear", [inSteps, one, zeroPoint], input), scale, zeroPoint };
    this.#rounded.set(input, rounded);
    return rounded;
  }

  /** [..., columns] to [..., 1]. */
  #largestOfRows(sizes: string, wish: string): string {
    if (this.#opset < AXES_INPUT_OPSET)
      return this.#node("ReduceMax", [sizes], wish, { axes: { ints: [-1] }, keepdims: 1n });
    const axes = this.#sharedConstant("last_axis", BigInt64Array.of(-1n), [1]);
    return this.#node("ReduceMax", [sizes, axes], wish, { keepdims: 1n });
  }

  #constant(wish: string, values: Parameters<typeof tensorOf>[1], shape?: readonly number[]): string {
    const name = this.#names.fresh(wish);
    this.#constants.push(tensorOf(name, values, shape));
    return name;
  }

  #sharedConstant(key: string, values: Parameters<typeof tensorOf>[1], shape?: readonly number[]): string {
    const name = this.#shared.get(key) ?? this.#constant(`int8_${key}`, values, shape);
    this.#shared.set(key, name);
    return name;
  }

  /** Adds a node; returns its output's new name. */
  #node(operator: string, inputs: readonly string[], wish: string, attributes: Record<string, Attribute> = {}): string {
    const output = this.#names.fresh(`${wish}_${operator.toLowerCase()}`);
    this.#add(operator, inputs, output, attributes);
    return output;
  }

  #add(operator: string, inputs: readonly string[], output: string, attributes: Record<string, Attribute> = {}): void {
    const attribute = Object.entries(attributes).map(([name, value]) => attributeOf(name, value));
    const name = this.#names.fresh(`${output}_node`);
    this.#nodes.push(
      create(NodeProtoSchema, { opType: operator, name, input: [...inputs], output: [output], attribute }),
    );
  }
}
