import { type Edges, MISSING_BIN } from "./binning.ts";
import { FEATURE_WIDTH, type HistogramData, type HistogramTask, subtractHistogram } from "./histogram.ts";
import type { HistogramThreads } from "./histogramThreads.ts";
import { bestSplit, leafValue, type NodeSums, type Split, type SplitRules } from "./split.ts";
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
}

export interface GrownTree {
  readonly tree: Tree;
  /** Sum of the gains of the splits, per feature. */
  readonly gains: Float64Array;
}

/** Slots that growing to a depth needs: both children of every node of the deepest level but one. */
export const slotsForDepth = (maxDepth: number): number => 2 ** maxDepth;

/**
 * Grows one tree, level by level. Per level: histograms of the smaller child of each pair from its rows, of the larger by
 * subtraction, then the best split of each leaf.
 *
 * Expects gradients and hessians in the order of `data.order`; leaves `order` (and them) grouped by leaf.
 */
export class TreeGrower {
  readonly #data: HistogramData;
  readonly #edges: readonly Edges[];
  readonly #edgeCounts: readonly number[];
  readonly #rules: GrowRules;
  readonly #threads: HistogramThreads;
  readonly #rightOrder: Uint32Array;
  readonly #rightGradients: Float64Array;
  readonly #rightHessians: Float64Array;

  constructor(data: HistogramData, edges: readonly Edges[], rules: GrowRules, threads: HistogramThreads) {
    this.#data = data;
    this.#edges = edges;
    this.#edgeCounts = edges.map((list) => list.length);
    this.#rules = rules;
    this.#threads = threads;
    this.#rightOrder = new Uint32Array(data.rows);
    this.#rightGradients = new Float64Array(data.rows);
    this.#rightHessians = new Float64Array(data.rows);
  }

  async grow(): Promise<GrownTree> {
    const tree = emptyTree();
    const gains = new Float64Array(this.#edges.length);
    const sums = this.#sumsOf(0, this.#data.rows);
    const root = { node: addLeaf(tree, this.#valueOf(sums)), slot: 0, begin: 0, end: this.#data.rows, sums };
    await this.#threads.fill([root]);
    let leaves: OpenLeaf[] = [root];
    let freeSlot = 1;
    for (let depth = 0; depth < this.#rules.maxDepth && leaves.length > 0; depth += 1) {
      const last = depth + 1 === this.#rules.maxDepth;
      const children: OpenLeaf[] = [];
      const tasks: HistogramTask[] = [];
      const subtractions: { parentSlot: number; siblingSlot: number }[] = [];
      for (const leaf of leaves) {
        const split = this.#bestSplitOf(leaf);
        if (split === undefined) continue;
        gains[split.feature] = (gains[split.feature] as number) + split.gain;
        const [left, right] = this.#split(tree, leaf, split);
        if (last) continue;
        const leftIsSmaller = left.end - left.begin <= right.end - right.begin;
        const smaller = { ...(leftIsSmaller ? left : right), slot: freeSlot };
        const larger = { ...(leftIsSmaller ? right : left), slot: leaf.slot };
        freeSlot += 1;
        tasks.push(smaller);
        subtractions.push({ parentSlot: leaf.slot, siblingSlot: smaller.slot });
        children.push(...(leftIsSmaller ? [smaller, larger] : [larger, smaller]));
      }
      await this.#threads.fill(tasks.map(({ slot, begin, end }) => ({ slot, begin, end })));
      for (const { parentSlot, siblingSlot } of subtractions) subtractHistogram(this.#data, parentSlot, siblingSlot);
      leaves = children;
    }
    return { tree, gains };
  }

  #bestSplitOf({ slot, sums }: OpenLeaf): Split | undefined {
    const size = this.#edges.length * FEATURE_WIDTH;
    return bestSplit(
      this.#data.histograms.subarray(slot * size, (slot + 1) * size),
      this.#edgeCounts,
      sums,
      this.#rules,
    );
  }

  #split(tree: Tree, leaf: OpenLeaf, split: Split): [OpenLeaf, OpenLeaf] {
    const middle = this.#partition(leaf, split);
    const edges = this.#edges[split.feature] as Edges;
    const values = { left: this.#valueOf(split.left), right: this.#valueOf(split.right) };
    const nodes = splitLeaf(tree, leaf.node, split, edges, values);
    return [
      { node: nodes.left, slot: -1, begin: leaf.begin, end: middle, sums: split.left },
      { node: nodes.right, slot: -1, begin: middle, end: leaf.end, sums: split.right },
    ];
  }

  /** Moves the rows that go right behind those that go left, keeping the order in both. Returns where the right ones begin. */
  #partition({ begin, end }: OpenLeaf, { feature, bin, missingLeft }: Split): number {
    const { order, gradients, hessians, rows } = this.#data;
    const bins = this.#data.bins.subarray(feature * rows, (feature + 1) * rows);
    let left = begin;
    let right = 0;
    for (let index = begin; index < end; index += 1) {
      const row = order[index] as number;
      const rowBin = bins[row] as number;
      if (rowBin === MISSING_BIN ? missingLeft : rowBin <= bin) {
        order[left] = row;
        gradients[left] = gradients[index] as number;
        hessians[left] = hessians[index] as number;
        left += 1;
      } else {
        this.#rightOrder[right] = row;
        this.#rightGradients[right] = gradients[index] as number;
        this.#rightHessians[right] = hessians[index] as number;
        right += 1;
      }
    }
    order.set(this.#rightOrder.subarray(0, right), left);
    gradients.set(this.#rightGradients.subarray(0, right), left);
    hessians.set(this.#rightHessians.subarray(0, right), left);
    return left;
  }

  #sumsOf(begin: number, end: number): NodeSums {
    let gradient = 0;
    let hessian = 0;
    for (let index = begin; index < end; index += 1) {
      gradient += this.#data.gradients[index] as number;
      hessian += this.#data.hessians[index] as number;
    }
    return { gradient, hessian };
  }

  #valueOf(sums: NodeSums): number {
    return leafValue(sums, this.#rules.lambda) * this.#rules.learningRate;
  }
}
