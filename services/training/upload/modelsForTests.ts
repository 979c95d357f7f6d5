import { GraphBuilder, modelBytes, parseModel } from "@millrace/onnx";
import type { ModelProto } from "@millrace/proto/onnx/onnx_pb.ts";
import { sampleRows } from "./sampleRows.ts";

/** An ONNX file with the graph that `build` makes; it returns nothing, and declares inputs and outputs itself. */
export function modelOf(build: (graph: GraphBuilder) => void): Uint8Array {
  const graph = new GraphBuilder("uploaded");
  build(graph);
  return graph.toBytes();
}

export function altered(onnx: Uint8Array, change: (model: ModelProto) => void): Uint8Array {
  const model = parseModel(onnx);
  change(model);
  return modelBytes(model);
}

export interface SigmoidNames {
  readonly input?: string;
  readonly output?: string;
}

/**
 * A logistic regression that imputes what is missing: sigmoid(weights · features + offset). Missing and centred at 0.5.
 */
export function logistic(
  weights: readonly number[],
  { input = "features", output = "probability" }: SigmoidNames = {},
): Uint8Array {
  return modelOf((graph) => {
    const x = graph.input(input, ["rows", weights.length]);
    const half = graph.constant([0.5], [1]);
    const known = graph.node("Where", [graph.node("IsNaN", [x]), half, x]);
    const centred = graph.node("Sub", [known, half]);
    const score = graph.node("MatMul", [centred, graph.constant(weights, [weights.length, 1])]);
    graph.node("Sigmoid", [score], {}, { output });
    graph.output(output, ["rows", 1]);
  });
}

/**
 * The same probabilities through `layers` wide dense layers, each of which gives the value on as it is: much to calculate, and in int8
 * nearly as good. A weight of a unit that is always 0 changes nothing in float32; a large one leaves no steps for the others in int8.
 */
export function wideLogistic(
  weights: readonly number[],
  { width = 512, layers = 2, unusedWeight = 0 } = {},
): Uint8Array {
  return modelOf((graph) => {
    const x = graph.input("features", ["rows", weights.length]);
    const half = graph.constant([0.5], [1]);
    const known = graph.node("Where", [graph.node("IsNaN", [x]), half, x]);
    const score = graph.node("MatMul", [
      graph.node("Sub", [known, half]),
      graph.constant(weights, [weights.length, 1]),
    ]);
    // Every unit carries the score; the mean of all units is the score again.
    let units = graph.node("MatMul", [
      score,
      graph.constant(new Float32Array(width).fill(1).fill(0, 0, 1), [1, width]),
    ]);
    for (let layer = 0; layer < layers; layer += 1) {
      const noise = sampleRows(width, width).map((value) => value / width);
      const mixing = balanced(
        noise.map((value) => 1 / width + value / width),
        width,
      );
      if (layer === 0) mixing.fill(unusedWeight, 0, width);
      units = graph.node("MatMul", [units, graph.constant(mixing, [width, width])]);
    }
    const mean = graph.node("MatMul", [units, graph.constant(new Float32Array(width).fill(1 / width), [width, 1])]);
    graph.node("Sigmoid", [mean], {}, { output: "probability" });
    graph.output("probability", ["rows", 1]);
  });
}

/** Each column sums to 1. */
function balanced(values: Float32Array, width: number): Float32Array {
  const sums = new Float64Array(width);
  for (const [index, value] of values.entries()) sums[index % width] = (sums[index % width] as number) + value;
  return values.map((value, index) => value / (sums[index % width] as number));
}
