import { GraphBuilder, ML_DOMAIN } from "@millrace/onnx";
import { type Calibration, UNCALIBRATED } from "../calibration.ts";
import type { BoostedTrees } from "../gbdt/boost.ts";
import type { LogisticModel } from "../logistic.ts";
import { addCalibration } from "./calibration.ts";

/** Names of every artefact's input, float32 [rows, features], and output, float32 [rows, 1]. */
export const INPUT = "features";
export const OUTPUT = "probability";

/** Trees and calibration as one ONNX graph. */
export function boostedTreesToOnnx(
  model: BoostedTrees,
  calibration: Calibration,
  featureNames: readonly string[],
): Uint8Array {
  const graph = new GraphBuilder("gbdt");
  const input = graph.input(INPUT, ["rows", featureNames.length]);
  const trees = graph.node("TreeEnsembleRegressor", [input], treeAttributes(model), { domain: ML_DOMAIN });
  finish(graph, trees, calibration);
  return graph.toBytes(metadata(featureNames));
}

/** Imputation, scaling, the linear model and calibration as one ONNX graph. */
export function logisticToOnnx(
  model: LogisticModel,
  calibration: Calibration,
  featureNames: readonly string[],
): Uint8Array {
  const width = featureNames.length;
  const graph = new GraphBuilder("logistic");
  const input = graph.input(INPUT, ["rows", width]);
  const means = graph.constant(model.means, [width]);
  const imputed = graph.node("Where", [graph.node("IsNaN", [input]), means, input]);
  const centred = graph.node("Sub", [imputed, means]);
  const scaled = graph.node("Div", [centred, graph.constant(model.deviations, [width])]);
  const product = graph.node("MatMul", [scaled, graph.constant(model.weights, [width, 1])]);
  finish(graph, graph.node("Add", [product, graph.constant([model.intercept], [1])]), calibration);
  return graph.toBytes(metadata(featureNames));
}

/** The same probability for every row. */
export function constantToOnnx(score: number, featureNames: readonly string[]): Uint8Array {
  const width = featureNames.length;
  const means = new Float64Array(width);
  const model = { means, deviations: means.map(() => 1), weights: new Float64Array(width), intercept: score };
  return logisticToOnnx(model, UNCALIBRATED, featureNames);
}

function finish(graph: GraphBuilder, score: string, calibration: Calibration): void {
  addCalibration(graph, score, calibration, OUTPUT);
  graph.output(OUTPUT, ["rows", 1]);
}

const metadata = (featureNames: readonly string[]): Record<string, string> => ({
  "millrace.features": JSON.stringify(featureNames),
});

function treeAttributes({ baseScore, trees }: BoostedTrees) {
  const nodes = {
    treeids: [] as number[],
    nodeids: [] as number[],
    featureids: [] as number[],
    modes: [] as string[],
    values: [] as number[],
    truenodeids: [] as number[],
    falsenodeids: [] as number[],
    missing: [] as number[],
  };
  const leaves = { treeids: [] as number[], nodeids: [] as number[], weights: [] as number[] };
  for (const [treeId, tree] of trees.entries()) {
    for (const [node, feature] of tree.feature.entries()) {
      const isLeaf = feature === -1;
      nodes.treeids.push(treeId);
      nodes.nodeids.push(node);
      nodes.featureids.push(isLeaf ? 0 : feature);
      nodes.modes.push(isLeaf ? "LEAF" : "BRANCH_LEQ");
      nodes.values.push(tree.threshold[node] as number);
      nodes.truenodeids.push(isLeaf ? 0 : (tree.left[node] as number));
      nodes.falsenodeids.push(isLeaf ? 0 : (tree.right[node] as number));
      nodes.missing.push(!isLeaf && tree.missingLeft[node] === true ? 1 : 0);
      if (isLeaf) {
        leaves.treeids.push(treeId);
        leaves.nodeids.push(node);
        leaves.weights.push(tree.value[node] as number);
      }
    }
  }
  return {
    n_targets: 1n,
    aggregate_function: "SUM",
    post_transform: "NONE",
    base_values: { floats: [baseScore] },
    nodes_treeids: { ints: nodes.treeids },
    nodes_nodeids: { ints: nodes.nodeids },
    nodes_featureids: { ints: nodes.featureids },
    nodes_modes: { strings: nodes.modes },
    nodes_values: { floats: nodes.values },
    nodes_truenodeids: { ints: nodes.truenodeids },
    nodes_falsenodeids: { ints: nodes.falsenodeids },
    nodes_missing_value_tracks_true: { ints: nodes.missing },
    target_treeids: { ints: leaves.treeids },
    target_nodeids: { ints: leaves.nodeids },
    target_ids: { ints: leaves.treeids.map(() => 0) },
    target_weights: { floats: leaves.weights },
  };
}
