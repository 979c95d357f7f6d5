import { randomNumbers } from "@millrace/metrics";
import { GraphBuilder } from "@millrace/onnx";
import { UNCALIBRATED } from "../../../services/training/calibration/calibration.ts";
import { toOnnx } from "../../../services/training/export/artefact.ts";
import { INPUT, OUTPUT } from "../../../services/training/export/onnx.ts";
import { addTrees } from "../../../services/training/export/trees.ts";
import { trainBoostedTrees } from "../../../services/training/gbdt/boost.ts";
import { BOOST_DEFAULTS } from "../../../services/training/gbdt/boostParameters.ts";

const ROWS = 20_000;

/** 100 trees of depth 6, as training makes them, of rows made up: what they say does not matter, how long they take does. */
export async function hundredTrees(featureNames: readonly string[], seed = 1): Promise<Uint8Array> {
  const random = randomNumbers(seed);
  const columns = featureNames.map(() => Float64Array.from({ length: ROWS }, random));
  const labels = Float64Array.from({ length: ROWS }, (_, row) => {
    const sum = columns.reduce((total, column, index) => total + Math.sin((index + 3) * (column[row] as number)), 0);
    return random() < 1 / (1 + Math.exp(-sum)) ? 1 : 0;
  });
  const parameters = { ...BOOST_DEFAULTS, earlyStopping: 0 };
  const trees = await trainBoostedTrees({ featureNames, columns, labels }, undefined, parameters);
  const addScores = (graph: GraphBuilder, columns: string): string => addTrees(graph, columns, trees);
  return toOnnx({ name: "gbdt", featureNames, codes: [], addScores }, { kind: "binary", calibration: UNCALIBRATED });
}

const WIDTH = 2_048;
const LAYERS = 3;

/**
 * A dense net of three 2,048 × 2,048 layers, 48 MiB of weights: one row reads them all from memory for one multiplication each, a batch
 * reads them once.
 */
export function denseNet(featureNames: readonly string[]): Uint8Array {
  const inputs = featureNames.length;
  const random = randomNumbers(1);
  const weights = (from: number, to: number): Float32Array =>
    Float32Array.from({ length: from * to }, () => (random() - 0.5) * Math.sqrt(12 / from));
  const graph = new GraphBuilder("dense");
  const input = graph.input(INPUT, ["rows", inputs]);
  const known = graph.node("Where", [graph.node("IsNaN", [input]), graph.constant([0], [1]), input]);
  const first = graph.node("MatMul", [known, graph.constant(weights(inputs, WIDTH), [inputs, WIDTH])]);
  let last = graph.node("Tanh", [first]);
  for (let layer = 0; layer < LAYERS; layer += 1) {
    last = graph.node("Relu", [graph.node("MatMul", [last, graph.constant(weights(WIDTH, WIDTH), [WIDTH, WIDTH])])]);
  }
  const score = graph.node("MatMul", [last, graph.constant(weights(WIDTH, 1), [WIDTH, 1])]);
  graph.node("Sigmoid", [score], {}, { output: OUTPUT });
  graph.output(OUTPUT, ["rows", 1]);
  return graph.toBytes();
}
