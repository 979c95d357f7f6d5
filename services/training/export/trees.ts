import { type Attribute, type GraphBuilder, ML_DOMAIN } from "@millrace/onnx";
import type { BoostedTrees } from "../gbdt/boost.ts";

/** Adds the trees. Returns the scores' name. */
export const addTrees = (graph: GraphBuilder, columns: string, model: BoostedTrees): string =>
  graph.node("TreeEnsembleRegressor", [columns], treeAttributes(model), { domain: ML_DOMAIN });

function treeAttributes({ baseScores, trees }: BoostedTrees): Record<string, Attribute> {
  const outputs = baseScores.length;
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
    n_targets: BigInt(outputs),
    aggregate_function: "SUM",
    post_transform: "NONE",
    base_values: { floats: baseScores },
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
    target_ids: { ints: leaves.treeids.map((treeId) => treeId % outputs) },
    target_weights: { floats: leaves.weights },
  };
}
