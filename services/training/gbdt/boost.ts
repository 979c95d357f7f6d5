import { setImmediate } from "node:timers/promises";
import { randomNumbers, shuffled } from "@millrace/metrics";
import type { Matrix } from "../matrix.ts";
import { binColumn, chooseEdges, type Edges } from "./binning.ts";
import { type BoostParameters, checkBoostParameters } from "./boostParameters.ts";
import { type Directions, slotsForDepth, TreeGrower } from "./grow.ts";
import { FEATURE_WIDTH, type HistogramData } from "./histogram.ts";
import { HistogramThreads } from "./histogramThreads.ts";
import { LOG_LOSS, type Objective } from "./objective.ts";
import { addTreeScores, type Tree } from "./tree.ts";
import { ValidationWatch } from "./validationWatch.ts";

/** A row's score of an output = its base score + the sum of its trees' values. */
export interface BoostedTrees {
  /** One for each output. */
  readonly baseScores: Float64Array;
  /** Round after round, one for each output: tree i adds to output i % outputs. */
  readonly trees: readonly Tree[];
  /** Share of the total split gain per feature; zeroes when nothing was split. */
  readonly importance: Float64Array;
}

export interface BoostOptions {
  /** Default: log loss of a binary label. */
  readonly objective?: Objective;
  /** Directions that features are held to. Default: none. */
  readonly monotone?: Directions | undefined;
  /** Of the features that each tree may use, where `featureShare` is below 1. */
  readonly seed?: number | undefined;
  /** Threads for the histograms. The result does not depend on it. */
  readonly threads?: number;
  /** Values from which on other threads are woken. Default: when it is worth it. */
  readonly worthWaking?: number;
  readonly signal?: AbortSignal | undefined;
  /** After each round; the loss is the validation's. */
  readonly onTree?: (round: number, loss: number | undefined) => void;
}

/**
 * Gradient-boosted trees: second-order boosting of a loss (Friedman, 2001; Chen and Guestrin, 2016) over histograms of at most 255 bins
 * and one for missing values. Of several outputs, each round grows one tree for each.
 *
 * @param train checked by `checkTrainable`
 * @param validation decides when to stop; without rows, every tree is kept
 * @throws `invalid_argument` for a parameter out of its range; the signal's reason when cancelled
 */
export async function trainBoostedTrees(
  train: Matrix,
  validation: Matrix | undefined,
  parameters: BoostParameters,
  { objective = LOG_LOSS, monotone, seed = 0, threads = 1, worthWaking, signal, onTree }: BoostOptions = {},
): Promise<BoostedTrees> {
  checkBoostParameters(parameters);
  const { outputs } = objective;
  const edges = train.columns.map(chooseEdges);
  const data = shareData(train, edges, parameters.maxDepth);
  await using histogramThreads = new HistogramThreads(data, threads, slotsForDepth(parameters.maxDepth), worthWaking);
  const grower = new TreeGrower(data, edges, parameters, histogramThreads, monotone);
  const chooseFeatures = featureChooser(edges.length, parameters.featureShare, seed);
  const baseScores = objective.baseScores(train);
  const scores = Array.from(baseScores, (score) => new Float64Array(data.rows).fill(score));
  const watch = validation?.labels.length ? new ValidationWatch(objective, validation, edges, baseScores) : undefined;
  const trees: Tree[] = [];
  const gains: Float64Array[] = [];
  for (let round = 1; round <= parameters.trees; round += 1) {
    signal?.throwIfAborted();
    for (let output = 0; output < outputs; output += 1) {
      objective.derive(train, scores, output, data.derivatives);
      const grown = await grower.grow(scores[output] as Float64Array, chooseFeatures());
      trees.push(grown.tree);
      gains.push(grown.gains);
    }
    const loss = watch?.add(trees.slice(-outputs));
    onTree?.(round, loss);
    if (parameters.earlyStopping > 0 && watch !== undefined && watch.roundsSinceBest >= parameters.earlyStopping) break;
    // Let heartbeats and cancellation through.
    await setImmediate();
  }
  const kept = watch === undefined || parameters.earlyStopping === 0 ? trees.length : watch.bestRounds * outputs;
  return { baseScores, trees: trees.slice(0, kept), importance: shares(gains.slice(0, kept), edges.length) };
}

/** Scores of raw columns, one array for each output. */
export function scoreBoostedTrees(
  { baseScores, trees }: BoostedTrees,
  columns: readonly Float64Array[],
): Float64Array[] {
  const rows = columns[0]?.length ?? 0;
  const scores = Array.from(baseScores, (score) => new Float64Array(rows).fill(score));
  for (const [index, tree] of trees.entries()) {
    addTreeScores(tree, columns, scores[index % scores.length] as Float64Array);
  }
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
    // Only this thread reads it.
    derivatives: new Float64Array(rows * 2),
    ordered: new Float64Array(shared(rows * 2 * 8)),
    histograms: new Float64Array(shared(slotsForDepth(maxDepth) * features * FEATURE_WIDTH * 8)),
    rows,
    features,
  };
}

/** For each tree another random share of the features, at least one; undefined where all may be used. */
function featureChooser(features: number, share: number, seed: number): () => Uint8Array | undefined {
  if (share >= 1) return () => undefined;
  const random = randomNumbers(seed);
  const count = Math.max(1, Math.round(features * share));
  return () => {
    const allowed = new Uint8Array(features);
    for (const feature of shuffled(features, random).subarray(0, count)) allowed[feature] = 1;
    return allowed;
  };
}

function shares(gains: readonly Float64Array[], features: number): Float64Array {
  const sums = new Float64Array(features);
  for (const tree of gains)
    for (const [feature, gain] of tree.entries()) sums[feature] = (sums[feature] as number) + gain;
  const total = sums.reduce((sum, gain) => sum + gain, 0);
  return total > 0 ? sums.map((gain) => gain / total) : sums;
}
