import { setImmediate } from "node:timers/promises";
import { MillraceError } from "@millrace/runtime";
import type { Matrix } from "../matrix.ts";
import { binColumn, chooseEdges, type Edges } from "./binning.ts";
import { type GrowRules, slotsForDepth, TreeGrower } from "./grow.ts";
import { FEATURE_WIDTH, type HistogramData } from "./histogram.ts";
import { HistogramThreads } from "./histogramThreads.ts";
import { LOG_LOSS, type Objective } from "./objective.ts";
import { addBinnedTreeScores, addTreeScores, type Tree } from "./tree.ts";

export interface BoostParameters extends GrowRules {
  readonly trees: number;
  /** Stop when the validation's loss has not fallen for this many trees, and keep those up to the best; 0: never. */
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
  /** After each tree; the loss is the validation's. */
  readonly onTree?: (tree: number, loss: number | undefined) => void;
}

/**
 * Gradient-boosted trees for a binary label: second-order boosting of the log loss (Friedman, 2001; Chen and Guestrin, 2016) over
 * histograms of at most 255 bins and one for missing values.
 *
 * @param train checked by `checkTrainable`
 * @param validation decides when to stop; without rows, every tree is kept
 * @throws `invalid_argument` for a parameter out of its range; the signal's reason when cancelled
 */
export async function trainBoostedTrees(
  train: Matrix,
  validation: Matrix | undefined,
  parameters: BoostParameters,
  { threads = 1, signal, onTree }: BoostOptions = {},
): Promise<BoostedTrees> {
  checkBoostParameters(parameters);
  const objective = LOG_LOSS;
  const edges = train.columns.map(chooseEdges);
  const data = shareData(train, edges, parameters.maxDepth);
  await using histogramThreads = new HistogramThreads(data, threads);
  const grower = new TreeGrower(data, edges, parameters, histogramThreads);
  const baseScore = objective.baseScore(train);
  const scores = new Float64Array(data.rows).fill(baseScore);
  const watch = validation?.labels.length ? new ValidationWatch(objective, validation, edges, baseScore) : undefined;
  const trees: Tree[] = [];
  const gains: Float64Array[] = [];
  for (let index = 0; index < parameters.trees; index += 1) {
    signal?.throwIfAborted();
    objective.derive(train, scores, data.derivatives);
    const grown = await grower.grow(scores);
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

/** Deeper trees need memory for 2 ** depth histograms, and learn single rows by heart. */
const MAX_DEPTH = 14;

/** @throws `invalid_argument` naming the parameter, its range and what it was. */
export function checkBoostParameters(parameters: BoostParameters): void {
  const check = (name: keyof BoostParameters, range: string, holds: (value: number) => boolean): void => {
    const value = parameters[name];
    if (!holds(value)) throw new MillraceError("invalid_argument", `gbdt: ${name} is ${value}; it must be ${range}`);
  };
  check("trees", "a whole number from 1 to 10000", (value) => Number.isInteger(value) && value >= 1 && value <= 10_000);
  check(
    "maxDepth",
    `a whole number from 1 to ${MAX_DEPTH}`,
    (value) => Number.isInteger(value) && value >= 1 && value <= MAX_DEPTH,
  );
  check("learningRate", "above 0 and at most 1", (value) => value > 0 && value <= 1);
  check("earlyStopping", "a whole number, 0 or more", (value) => Number.isInteger(value) && value >= 0);
  for (const name of ["lambda", "minChildWeight", "minGain"] as const) {
    check(name, "a number, 0 or more", (value) => value >= 0 && Number.isFinite(value));
  }
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
    derivatives: new Float64Array(shared(rows * 2 * 8)),
    histograms: new Float64Array(shared(slotsForDepth(maxDepth) * features * FEATURE_WIDTH * 8)),
    rows,
    features,
  };
}

/** Follows the loss on rows that are not trained on. */
class ValidationWatch {
  bestTrees = 0;
  treesSinceBest = 0;
  #bestLoss = Infinity;
  #trees = 0;
  readonly #bins: Uint8Array;
  readonly #scores: Float64Array;
  readonly #objective: Objective;
  readonly #rows: Matrix;

  constructor(objective: Objective, validation: Matrix, edges: readonly Edges[], baseScore: number) {
    const rows = validation.labels.length;
    this.#objective = objective;
    this.#rows = validation;
    this.#scores = new Float64Array(rows).fill(baseScore);
    this.#bins = new Uint8Array(rows * edges.length);
    for (const [feature, column] of validation.columns.entries()) {
      binColumn(column, edges[feature] as Edges, this.#bins.subarray(feature * rows, (feature + 1) * rows));
    }
  }

  add(tree: Tree): number {
    addBinnedTreeScores(tree, this.#bins, this.#scores);
    this.#trees += 1;
    const loss = this.#objective.loss(this.#rows, this.#scores);
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
