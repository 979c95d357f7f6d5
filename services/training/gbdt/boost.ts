import { setImmediate } from "node:timers/promises";
import { logLoss } from "@millrace/metrics";
import { logit, sigmoid } from "../calibration.ts";
import { baseRate, type Matrix } from "../matrix.ts";
import { binColumn, chooseEdges, type Edges } from "./binning.ts";
import { type GrowRules, slotsForDepth, TreeGrower } from "./grow.ts";
import { FEATURE_WIDTH, type HistogramData } from "./histogram.ts";
import { HistogramThreads } from "./histogramThreads.ts";
import { addBinnedTreeScores, addTreeScores, type Tree } from "./tree.ts";

export interface BoostParameters extends GrowRules {
  readonly trees: number;
  /** Stop when the validation's log loss has not fallen for this many trees, and keep those up to the best; 0: never. */
  readonly earlyStopping: number;
}

/** XGBoost's defaults, but for the learning rate, and early stopping. */
export const BOOST_DEFAULTS: BoostParameters = {
  trees: 100,
  maxDepth: 6,
  learningRate: 0.1,
  lambda: 1,
  minChildWeight: 1,
  minGain: 0,
  earlyStopping: 20,
};

/** score = baseScore + sum of the trees' values, in log odds. */
export interface BoostedTrees {
  readonly baseScore: number;
  readonly trees: readonly Tree[];
  /** Share of the total split gain per feature; zeroes when nothing was split. */
  readonly importance: Float64Array;
}

export interface BoostOptions {
  /** Threads for the histograms. The result does not depend on it. */
  readonly threads?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onTree?: (tree: number, validationLogLoss: number | undefined) => void;
}

/**
 * Gradient-boosted trees for a binary label: second-order boosting of the log loss (Friedman, 2001; Chen and Guestrin, 2016) over
 * histograms of at most 255 bins and one for missing values.
 */
export async function trainBoostedTrees(
  train: Matrix,
  validation: Matrix | undefined,
  parameters: BoostParameters,
  { threads = 1, signal, onTree }: BoostOptions = {},
): Promise<BoostedTrees> {
  const edges = train.columns.map(chooseEdges);
  const data = shareData(train, edges, parameters.maxDepth);
  await using histogramThreads = new HistogramThreads(data, threads);
  const grower = new TreeGrower(data, edges, parameters, histogramThreads);
  const baseScore = Math.fround(logit(baseRate(train)));
  const scores = new Float64Array(data.rows).fill(baseScore);
  const watch = validation === undefined ? undefined : new ValidationWatch(validation, edges, baseScore);
  const trees: Tree[] = [];
  const gains: Float64Array[] = [];
  for (let index = 0; index < parameters.trees; index += 1) {
    signal?.throwIfAborted();
    setGradients(data, scores, train);
    const grown = await grower.grow();
    addBinnedTreeScores(grown.tree, data.bins, scores);
    trees.push(grown.tree);
    gains.push(grown.gains);
    const loss = watch?.add(grown.tree);
    onTree?.(index + 1, loss);
    if (parameters.earlyStopping > 0 && watch !== undefined && watch.treesSinceBest >= parameters.earlyStopping) break;
    // Let heartbeats and cancellation through.
    await setImmediate();
  }
  const kept = watch === undefined || parameters.earlyStopping === 0 ? trees.length : watch.bestTrees;
  return { baseScore, trees: trees.slice(0, kept), importance: shares(gains.slice(0, kept), edges.length) };
}

/** Log odds per row. */
export function scoreBoostedTrees({ baseScore, trees }: BoostedTrees, columns: readonly Float64Array[]): Float64Array {
  const scores = new Float64Array(columns[0]?.length ?? 0).fill(baseScore);
  for (const tree of trees) addTreeScores(tree, columns, scores);
  return scores;
}

function shareData(train: Matrix, edges: readonly Edges[], maxDepth: number): HistogramData {
  const rows = train.labels.length;
  const features = edges.length;
  const shared = (bytes: number): SharedArrayBuffer => new SharedArrayBuffer(bytes);
  const bins = new Uint8Array(shared(rows * features));
  for (const [feature, column] of train.columns.entries()) {
    binColumn(column, edges[feature] as Edges, bins.subarray(feature * rows, (feature + 1) * rows));
  }
  return {
    bins,
    order: new Uint32Array(shared(rows * 4)),
    gradients: new Float64Array(shared(rows * 8)),
    hessians: new Float64Array(shared(rows * 8)),
    histograms: new Float64Array(shared(slotsForDepth(maxDepth) * features * FEATURE_WIDTH * 8)),
    rows,
    features,
  };
}

/** First and second derivatives of the log loss at the current scores, rows in their own order again. */
function setGradients({ order, gradients, hessians, rows }: HistogramData, scores: Float64Array, train: Matrix): void {
  const { labels, weights } = train;
  for (let row = 0; row < rows; row += 1) {
    const probability = sigmoid(scores[row] as number);
    const weight = weights === undefined ? 1 : (weights[row] as number);
    order[row] = row;
    gradients[row] = weight * (probability - (labels[row] as number));
    hessians[row] = weight * Math.max(probability * (1 - probability), 1e-16);
  }
}

/** Follows the log loss on rows that are not trained on. */
class ValidationWatch {
  bestTrees = 0;
  treesSinceBest = 0;
  #bestLoss = Infinity;
  #trees = 0;
  readonly #bins: Uint8Array;
  readonly #scores: Float64Array;
  readonly #labels: Float64Array;

  constructor(validation: Matrix, edges: readonly Edges[], baseScore: number) {
    const rows = validation.labels.length;
    this.#labels = validation.labels;
    this.#scores = new Float64Array(rows).fill(baseScore);
    this.#bins = new Uint8Array(rows * edges.length);
    for (const [feature, column] of validation.columns.entries()) {
      binColumn(column, edges[feature] as Edges, this.#bins.subarray(feature * rows, (feature + 1) * rows));
    }
  }

  add(tree: Tree): number {
    addBinnedTreeScores(tree, this.#bins, this.#scores);
    this.#trees += 1;
    const loss = logLoss(this.#labels, this.#scores.map(sigmoid));
    if (loss < this.#bestLoss) {
      this.#bestLoss = loss;
      this.bestTrees = this.#trees;
    }
    this.treesSinceBest = this.#trees - this.bestTrees;
    return loss;
  }
}

function shares(gains: readonly Float64Array[], features: number): Float64Array {
  const sums = new Float64Array(features);
  for (const tree of gains)
    for (const [feature, gain] of tree.entries()) sums[feature] = (sums[feature] as number) + gain;
  const total = sums.reduce((sum, gain) => sum + gain, 0);
  return total > 0 ? sums.map((gain) => gain / total) : sums;
}
