import { BIN_COUNT, type Edges, MISSING_BIN } from "./binning.ts";
import { FEATURE_WIDTH, type HistogramData, type HistogramTask, subtractHistogram } from "./histogram.ts";
import type { HistogramThreads } from "./histogramThreads.ts";
import {
  type Bounds,
  bestSplit,
  boundedLeafValue,
  type FeatureShape,
  leafValue,
  type NodeSums,
  type Split,
  type SplitRules,
  UNBOUNDED,
} from "./split.ts";
import { addLeaf, emptyTree, splitLeaf, type Tree } from "./tree.ts";

export interface GrowRules extends SplitRules {
  readonly maxDepth: number;
  readonly learningRate: number;
}

/** A leaf that may still be split: its rows are order[begin..end), its histogram is in the slot. */
interface OpenLeaf {
  readonly node: number;
  readonly slot: number;
  readonly begin: number;
  readonly end: number;
  readonly sums: NodeSums;
  readonly bounds: Bounds;
}

/** By feature: 1 where the score must not fall when it grows, -1 where it must not rise, else 0. */
export type Directions = readonly (-1 | 0 | 1)[];

export interface GrownTree {
  readonly tree: Tree;
  /** Sum of the gains of the splits, per feature. */
  readonly gains: Float64Array;
}

/** Slots that growing to a depth needs: both children of every node of the deepest level but one. */
export const slotsForDepth = (maxDepth: number): number => Math.max(1, 2 ** (maxDepth - 1));

/**
 * Grows one tree, level by level. Per level: histograms of the smaller child of each pair from its rows, of the larger by
 * subtraction, then the best split of each leaf.
 *
 * Expects derivatives in the order of the rows; leaves them, and `order`, grouped by node.
 */
export class TreeGrower {
  readonly #data: HistogramData;
  readonly #edges: readonly Edges[];
  readonly #shapes: readonly FeatureShape[];
  readonly #rules: GrowRules;
  readonly #isConstrained: boolean;
  readonly #threads: HistogramThreads;
  /** Room for the rows that go right, while those that go left are moved together. */
  readonly #rightOrder: Uint32Array;
  readonly #rightDerivatives: Float64Array;
  /** 1 for each bin whose rows go left. */
  readonly #leftBins = new Uint8Array(BIN_COUNT);

  constructor(
    data: HistogramData,
    edges: readonly Edges[],
    rules: GrowRules,
    threads: HistogramThreads,
    monotone?: Directions,
  ) {
    const { bins, rows } = data;
    this.#data = data;
    this.#edges = edges;
    this.#isConstrained = monotone?.some((direction) => direction !== 0) ?? false;
    this.#shapes = edges.map((list, feature) => ({
      edges: list.length,
      hasMissing: bins.subarray(feature * rows, (feature + 1) * rows).includes(MISSING_BIN),
      monotone: monotone?.[feature] ?? 0,
    }));
    this.#rules = rules;
    this.#threads = threads;
    this.#rightOrder = new Uint32Array(rows);
    this.#rightDerivatives = new Float64Array(2 * rows);
  }

  /**
   * @param scores of the rows; the tree's values are added
   * @param allowed 1 for each feature that may be split; absent: all
   */
  async grow(scores: Float64Array, allowed?: Uint8Array): Promise<GrownTree> {
    const tree = emptyTree();
    const gains = new Float64Array(this.#edges.length);
    let leaves = [this.#root(tree)];
    await this.#threads.fill(leaves);
    let freeSlot = 1;
    for (let depth = 1; leaves.length > 0; depth += 1) {
      const pairs: { smaller: OpenLeaf; larger: OpenLeaf }[] = [];
      for (const leaf of leaves) {
        const split = depth > this.#rules.maxDepth ? undefined : this.#bestSplitOf(leaf, allowed);
        if (split === undefined) {
          this.#addScores(scores, leaf, tree.value[leaf.node] as number);
          continue;
        }
        gains[split.feature] = (gains[split.feature] as number) + split.gain;
        const bounds = this.#childBounds(leaf, split);
        const { left, right } = this.#splitNode(tree, leaf.node, split, bounds);
        if (depth === this.#rules.maxDepth) {
          this.#addScoresOfSplit(scores, leaf, split, tree.value[left] as number, tree.value[right] as number);
          continue;
        }
        const middle = this.#partition(leaf, split);
        const leftIsSmaller = middle - leaf.begin <= leaf.end - middle;
        const leftLeaf = { node: left, begin: leaf.begin, end: middle, sums: split.left, bounds: bounds.left };
        const rightLeaf = { node: right, begin: middle, end: leaf.end, sums: split.right, bounds: bounds.right };
        pairs.push({
          smaller: { ...(leftIsSmaller ? leftLeaf : rightLeaf), slot: freeSlot },
          larger: { ...(leftIsSmaller ? rightLeaf : leftLeaf), slot: leaf.slot },
        });
        freeSlot += 1;
      }
      await this.#fillPairs(pairs);
      leaves = pairs.flatMap(({ smaller, larger }) => [smaller, larger]);
    }
    return { tree, gains };
  }

  #root(tree: Tree): OpenLeaf {
    const { order, rows } = this.#data;
    for (let row = 0; row < rows; row += 1) order[row] = row;
    const sums = this.#sumsOfAll();
    return { node: addLeaf(tree, this.#valueOf(sums)), slot: 0, begin: 0, end: rows, sums, bounds: UNBOUNDED };
  }

  async #fillPairs(pairs: readonly { smaller: OpenLeaf; larger: OpenLeaf }[]): Promise<void> {
    const tasks: HistogramTask[] = pairs.map(({ smaller: { slot, begin, end } }) => ({ slot, begin, end }));
    await this.#threads.fill(tasks);
    for (const { smaller, larger } of pairs) subtractHistogram(this.#data, larger.slot, smaller.slot);
  }

  #bestSplitOf({ slot, sums, bounds }: OpenLeaf, allowed: Uint8Array | undefined): Split | undefined {
    const size = this.#edges.length * FEATURE_WIDTH;
    const histogram = this.#data.histograms.subarray(slot * size, (slot + 1) * size);
    const limits = this.#isConstrained || allowed !== undefined ? { bounds, allowed } : undefined;
    return bestSplit(histogram, this.#shapes, sums, this.#rules, limits);
  }

  /** Below a split of a constrained feature, neither side may pass the middle of the two values (as in XGBoost). */
  #childBounds({ bounds }: OpenLeaf, { feature, left, right }: Split): { left: Bounds; right: Bounds } {
    const direction = this.#shapes[feature]?.monotone ?? 0;
    if (direction === 0) return { left: bounds, right: bounds };
    const { lambda } = this.#rules;
    const middle = (boundedLeafValue(left, lambda, bounds) + boundedLeafValue(right, lambda, bounds)) / 2;
    const below = { lower: bounds.lower, upper: middle };
    const above = { lower: middle, upper: bounds.upper };
    return direction > 0 ? { left: below, right: above } : { left: above, right: below };
  }

  #splitNode(
    tree: Tree,
    node: number,
    split: Split,
    bounds: { left: Bounds; right: Bounds },
  ): { left: number; right: number } {
    const edges = this.#edges[split.feature] as Edges;
    const values = { left: this.#valueOf(split.left, bounds.left), right: this.#valueOf(split.right, bounds.right) };
    return splitLeaf(tree, node, split, edges, values);
  }

  #addScores(scores: Float64Array, { begin, end }: OpenLeaf, value: number): void {
    const { order } = this.#data;
    for (let index = begin; index < end; index += 1) {
      const row = order[index] as number;
      scores[row] = (scores[row] as number) + value;
    }
  }

  /** The two new leaves are not split again: their rows need not be moved together. */
  #addScoresOfSplit(scores: Float64Array, leaf: OpenLeaf, split: Split, left: number, right: number): void {
    const { bins, order, rows } = this.#data;
    const column = split.feature * rows;
    for (let index = leaf.begin; index < leaf.end; index += 1) {
      const row = order[index] as number;
      scores[row] = (scores[row] as number) + (goesLeft(bins[column + row] as number, split) ? left : right);
    }
  }

  /**
   * Moves the rows that go right behind those that go left, keeping the order in both. Returns where the right ones begin.
   *
   * Each row is written to both sides and only one side moves on: which way a row goes is as good as random, and a branch that the
   * processor cannot foresee costs more than the writes (half of the whole training's time, once).
   */
  #partition({ begin, end }: OpenLeaf, split: Split): number {
    const { bins, order, derivatives, rows } = this.#data;
    const [rightOrder, rightDerivatives, leftBins] = [this.#rightOrder, this.#rightDerivatives, this.#leftBins];
    for (let bin = 0; bin < BIN_COUNT; bin += 1) leftBins[bin] = goesLeft(bin, split) ? 1 : 0;
    const column = split.feature * rows;
    let left = begin;
    let right = 0;
    for (let index = begin; index < end; index += 1) {
      const row = order[index] as number;
      const gradient = derivatives[2 * index] as number;
      const hessian = derivatives[2 * index + 1] as number;
      order[left] = row;
      derivatives[2 * left] = gradient;
      derivatives[2 * left + 1] = hessian;
      rightOrder[right] = row;
      rightDerivatives[2 * right] = gradient;
      rightDerivatives[2 * right + 1] = hessian;
      const toLeft = leftBins[bins[column + row] as number] as number;
      left += toLeft;
      right += 1 - toLeft;
    }
    order.set(rightOrder.subarray(0, right), left);
    derivatives.set(rightDerivatives.subarray(0, 2 * right), 2 * left);
    return left;
  }

  #sumsOfAll(): NodeSums {
    const { derivatives, rows } = this.#data;
    let gradient = 0;
    let hessian = 0;
    for (let row = 0; row < rows; row += 1) {
      gradient += derivatives[2 * row] as number;
      hessian += derivatives[2 * row + 1] as number;
    }
    return { gradient, hessian };
  }

  #valueOf(sums: NodeSums, bounds?: Bounds): number {
    const { lambda, learningRate } = this.#rules;
    const value =
      this.#isConstrained && bounds !== undefined ? boundedLeafValue(sums, lambda, bounds) : leafValue(sums, lambda);
    return value * learningRate;
  }
}

function goesLeft(bin: number, split: Split): boolean {
  return bin === MISSING_BIN ? split.missingLeft : bin <= split.bin;
}
