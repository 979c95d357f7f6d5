import { create } from "@bufbuild/protobuf";
import { populationStability } from "@millrace/metrics";
import {
  type FeatureReference,
  FeatureReferenceSchema,
  type ReferenceDistribution,
  ReferenceDistributionSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";

/** Bins per feature: tenths, the usual number for the population stability index. */
const BINS = 10;

/** Quantiles from this many evenly spaced rows are close enough for bins, whose shares are counted over all rows. */
const SAMPLE_ROWS = 20_000;

/**
 * The distribution of one column: bins at its quantiles, equal edges joined, so that a constant or a flag has few bins.
 *
 * @param values NaN is missing; infinities count as present, and fall into the outer bins.
 */
export function describeColumn(name: string, values: Float64Array): FeatureReference {
  const present = values.filter((value) => !Number.isNaN(value));
  const missing = values.length === 0 ? 0 : 1 - present.length / values.length;
  if (present.length === 0) return create(FeatureReferenceSchema, { name, missing, shares: [] });
  const edges = quantileEdges(present);
  const counts = new Float64Array(edges.length + 1);
  let sum = 0;
  let finite = 0;
  for (const value of present) {
    counts[binOf(edges, value)] = (counts[binOf(edges, value)] as number) + 1;
    if (Number.isFinite(value)) {
      sum += value;
      finite += 1;
    }
  }
  const mean = finite === 0 ? 0 : sum / finite;
  let squares = 0;
  for (const value of present) if (Number.isFinite(value)) squares += (value - mean) ** 2;
  return create(FeatureReferenceSchema, {
    name,
    edges,
    shares: Array.from(counts, (count) => count / present.length),
    missing,
    mean,
    standardDeviation: finite === 0 ? 0 : Math.sqrt(squares / finite),
  });
}

/** Number of the bin of a value: bin i holds edges[i-1] < x <= edges[i]. */
export function binOf(edges: readonly number[], value: number): number {
  let low = 0;
  let high = edges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value <= (edges[middle] as number)) high = middle;
    else low = middle + 1;
  }
  return low;
}

export interface TrainingRows {
  readonly featureNames: readonly string[];
  /** One per feature, all rows of the dataset. */
  readonly columns: readonly Float64Array[];
  readonly occurredAtMs: Float64Array;
  /** The rows that were trained on. */
  readonly train: Uint32Array;
  readonly holdout: Uint32Array;
  /** The model's answers for the rows of the holdout. */
  readonly predictions: Float64Array;
  /** Length of a monitored window, ms. */
  readonly windowMs: number;
}

/**
 * What the monitor compares with: the training rows' features, and the model's answers on the holdout; and how much windows of
 * them differ from the whole when nothing is wrong, since the rows of one day move together.
 */
export function describeTraining(rows: TrainingRows): ReferenceDistribution {
  const trainTimes = pick(rows.occurredAtMs, rows.train);
  const holdoutTimes = pick(rows.occurredAtMs, rows.holdout);
  return create(ReferenceDistributionSchema, {
    features: rows.featureNames.map((name, index) =>
      describeWithWindows(name, pick(rows.columns[index] as Float64Array, rows.train), trainTimes, rows.windowMs),
    ),
    prediction: describeWithWindows("prediction", rows.predictions, holdoutTimes, rows.windowMs),
    rows: BigInt(rows.train.length),
  });
}

function describeWithWindows(
  name: string,
  values: Float64Array,
  timesMs: Float64Array,
  windowMs: number,
): FeatureReference {
  const reference = describeColumn(name, values);
  reference.windowPsi = windowStability(reference, values, timesMs, windowMs);
  return reference;
}

/** A window of fewer rows tells more of chance than of the window. */
const MIN_WINDOW_ROWS = 500;

/** The population stability index of each window of the rows against all of them, windows in order of time. */
export function windowStability(
  { edges, shares }: Pick<FeatureReference, "edges" | "shares">,
  values: Float64Array,
  timesMs: Float64Array,
  windowMs: number,
): number[] {
  const windows = new Map<number, Float64Array>();
  for (const [row, value] of values.entries()) {
    if (Number.isNaN(value)) continue;
    const window = Math.floor((timesMs[row] as number) / windowMs);
    let counts = windows.get(window);
    if (counts === undefined) {
      counts = new Float64Array(edges.length + 1);
      windows.set(window, counts);
    }
    const bin = binOf(edges, value);
    counts[bin] = (counts[bin] as number) + 1;
  }
  return [...windows.entries()]
    .toSorted(([left], [right]) => left - right)
    .map(([, counts]) => counts)
    .filter((counts) => counts.reduce((sum, count) => sum + count, 0) >= MIN_WINDOW_ROWS)
    .map((counts) => populationStability(counts, shares));
}

/** The values of some rows of a column. */
export function pick(column: Float64Array, rows: Uint32Array): Float64Array {
  const picked = new Float64Array(rows.length);
  for (let index = 0; index < rows.length; index += 1) picked[index] = column[rows[index] as number] as number;
  return picked;
}

function quantileEdges(present: Float64Array): number[] {
  const stride = Math.max(1, Math.floor(present.length / SAMPLE_ROWS));
  const sample = present.filter((_, index) => index % stride === 0 && Number.isFinite(present[index])).sort();
  const largest = sample.at(-1);
  const edges: number[] = [];
  if (largest === undefined) return edges;
  for (let bin = 1; bin < BINS; bin += 1) {
    const edge = sample[Math.ceil((bin / BINS) * sample.length) - 1] as number;
    // An edge at the largest value would make a bin that nothing of the training set is in.
    if (edge < largest && edge !== edges.at(-1)) edges.push(edge);
  }
  // Nearly all rows have the largest value: without an edge, a shift away from it would not be seen.
  if (edges.length === 0) edges.push(sample.findLast((value) => value < largest) ?? largest);
  return edges;
}
