import { type Edges, MISSING_BIN } from "./binning.ts";

/** A regression tree as parallel arrays; node 0 is the root. A leaf has feature -1. */
export interface Tree {
  readonly feature: number[];
  /** Inner nodes: a float32 number; values up to it go left. */
  readonly threshold: number[];
  /** The same as a bin, for binned rows. */
  readonly bin: number[];
  readonly missingLeft: boolean[];
  readonly left: number[];
  readonly right: number[];
  /** Leaves: what they add to the score, a float32 number. */
  readonly value: number[];
}

export const emptyTree = (): Tree => ({
  feature: [],
  threshold: [],
  bin: [],
  missingLeft: [],
  left: [],
  right: [],
  value: [],
});

/** Adds a leaf. Returns its node number. */
export function addLeaf(tree: Tree, value: number): number {
  tree.feature.push(-1);
  tree.threshold.push(0);
  tree.bin.push(0);
  tree.missingLeft.push(false);
  tree.left.push(-1);
  tree.right.push(-1);
  tree.value.push(Math.fround(value));
  return tree.feature.length - 1;
}

/** Turns a leaf into an inner node with two leaves. */
export function splitLeaf(
  tree: Tree,
  node: number,
  split: { feature: number; bin: number; missingLeft: boolean },
  edges: Edges,
  values: { left: number; right: number },
): { left: number; right: number } {
  const left = addLeaf(tree, values.left);
  const right = addLeaf(tree, values.right);
  tree.feature[node] = split.feature;
  tree.bin[node] = split.bin;
  tree.threshold[node] = edges[split.bin] as number;
  tree.missingLeft[node] = split.missingLeft;
  tree.left[node] = left;
  tree.right[node] = right;
  tree.value[node] = 0;
  return { left, right };
}

/** Adds the tree's value to the score of every row. Values are compared as float32, as in serving. */
export function addTreeScores(tree: Tree, columns: readonly Float64Array[], scores: Float64Array): void {
  for (let row = 0; row < scores.length; row += 1) {
    let node = 0;
    for (let feature = tree.feature[0] as number; feature !== -1; feature = tree.feature[node] as number) {
      const value = (columns[feature] as Float64Array)[row] as number;
      const goesLeft = Number.isNaN(value)
        ? tree.missingLeft[node]
        : Math.fround(value) <= (tree.threshold[node] as number);
      node = (goesLeft ? tree.left[node] : tree.right[node]) as number;
    }
    scores[row] = (scores[row] as number) + (tree.value[node] as number);
  }
}

/** The same for binned rows. @param bins feature after feature: rows * features */
export function addBinnedTreeScores(tree: Tree, bins: Uint8Array, scores: Float64Array): void {
  const rows = scores.length;
  for (let row = 0; row < rows; row += 1) {
    let node = 0;
    for (let feature = tree.feature[0] as number; feature !== -1; feature = tree.feature[node] as number) {
      const bin = bins[feature * rows + row] as number;
      const goesLeft = bin === MISSING_BIN ? tree.missingLeft[node] : bin <= (tree.bin[node] as number);
      node = (goesLeft ? tree.left[node] : tree.right[node]) as number;
    }
    scores[row] = (scores[row] as number) + (tree.value[node] as number);
  }
}
