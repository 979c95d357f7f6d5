import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { binOf } from "@millrace/metrics";
import {
  type FeatureReference,
  FeatureReferenceSchema,
  type ReferenceDistribution,
  ReferenceDistributionSchema,
  type ReferenceTruth,
  ReferenceTruthSchema,
  type ReferenceWindow,
  ReferenceWindowSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";

/** Bins per feature: tenths, the usual number for the population stability index. */
const BINS = 10;

/** A column with at most so many values has a bin for each: they are categories, or as good as. */
const MOST_CATEGORIES = 20;

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
  const categories = categoriesOf(present);
  const edges = categories.length > 1 ? categories.slice(0, -1) : quantileEdges(present);
  const counts = new Float64Array(edges.length + 1);
  let sum = 0;
  let finite = 0;
  let [minimum, maximum] = [Infinity, -Infinity];
  for (const value of present) {
    counts[binOf(edges, value)] = (counts[binOf(edges, value)] as number) + 1;
    if (Number.isFinite(value)) {
      sum += value;
      finite += 1;
      minimum = Math.min(minimum, value);
      maximum = Math.max(maximum, value);
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
    minimum: finite === 0 ? 0 : minimum,
    maximum: finite === 0 ? 0 : maximum,
    categories,
  });
}

/** All values, ascending, when they are finite and few; otherwise none. */
function categoriesOf(present: Float64Array): number[] {
  const values = new Set<number>();
  for (const value of present) {
    if (!Number.isFinite(value)) return [];
    values.add(value);
    if (values.size > MOST_CATEGORIES) return [];
  }
  return [...values].sort((a, b) => a - b);
}

export interface TrainingRows {
  readonly featureNames: readonly string[];
  /** One per feature, all rows of the dataset. */
  readonly columns: readonly Float64Array[];
  readonly occurredAtMs: Float64Array;
  /** The rows that were trained on. */
  readonly train: Uint32Array;
  readonly holdout: Uint32Array;
  /** Of all rows, 0 or 1; absent where the answers are no probabilities. */
  readonly labels: Float64Array | undefined;
  /** The model's answers for the rows of the holdout. */
  readonly predictions: Float64Array;
  /** Length of a monitored window, ms. */
  readonly windowMs: number;
}

/**
 * What the monitor compares with: the training rows' features, and the model's answers on the holdout; and how much windows of
 * them differ when nothing is wrong, since the rows of one day move together.
 */
export function describeTraining(rows: TrainingRows): ReferenceDistribution {
  const { featureNames, columns, occurredAtMs, train, holdout, predictions, windowMs } = rows;
  const mostWindows = Math.min(MOST_WINDOWS, Math.ceil(MOST_WINDOW_COLUMNS / Math.max(featureNames.length, 1)));
  const trainWindows = fullWindows(pick(occurredAtMs, train), windowMs).slice(-mostWindows);
  const holdoutWindows = fullWindows(pick(occurredAtMs, holdout), windowMs).slice(-mostWindows);
  const truths = rows.labels && pick(rows.labels, holdout);
  const describe = (name: string, values: Float64Array, windows: readonly RowsOfWindow[]): FeatureReference => {
    const reference = describeColumn(name, values);
    reference.windows = windows.map((window) => describeWindow(reference, values, window));
    return reference;
  };
  return create(ReferenceDistributionSchema, {
    features: featureNames.map((name, index) =>
      describe(name, pick(columns[index] as Float64Array, train), trainWindows),
    ),
    prediction: describe("prediction", predictions, holdoutWindows),
    rows: BigInt(train.length),
    truth: truths === undefined ? [] : holdoutWindows.map((window) => describeTruth(truths, predictions, window)),
  });
}

/** A window of fewer rows tells more of chance than of the window. */
const MIN_WINDOW_ROWS = 500;
/** The newest so many say enough; a version has to stay small, for it travels in one message. */
const MOST_WINDOWS = 128;
const MOST_WINDOW_COLUMNS = 5_000;

interface RowsOfWindow {
  readonly fromMs: number;
  readonly rows: readonly number[];
}

/** The windows with enough rows, in order of time. */
function fullWindows(timesMs: Float64Array, windowMs: number): RowsOfWindow[] {
  const windows = new Map<number, number[]>();
  for (const [row, timeMs] of timesMs.entries()) {
    const fromMs = Math.floor(timeMs / windowMs) * windowMs;
    const rows = windows.get(fromMs);
    if (rows === undefined) windows.set(fromMs, [row]);
    else rows.push(row);
  }
  return [...windows]
    .filter(([, rows]) => rows.length >= MIN_WINDOW_ROWS)
    .map(([fromMs, rows]) => ({ fromMs, rows }))
    .sort((left, right) => left.fromMs - right.fromMs);
}

function describeWindow(
  { edges }: Pick<FeatureReference, "edges">,
  values: Float64Array,
  { fromMs, rows }: RowsOfWindow,
): ReferenceWindow {
  const counts = Array.from({ length: edges.length + 1 }, () => 0);
  let missing = 0;
  for (const row of rows) {
    const value = values[row] as number;
    const bin = binOf(edges, value);
    if (Number.isNaN(value)) missing += 1;
    else counts[bin] = (counts[bin] as number) + 1;
  }
  return create(ReferenceWindowSchema, { from: timestampFromMs(fromMs), counts, missing });
}

/** A probability of exactly 0 or 1 that is wrong would cost infinitely much. */
const CLOSEST = 1e-15;

/** By how much the log loss of a window is above the mean entropy of its probabilities, which is what they promise. */
function describeTruth(
  labels: Float64Array,
  probabilities: Float64Array,
  { fromMs, rows }: RowsOfWindow,
): ReferenceTruth {
  let [sum, squares] = [0, 0];
  for (const row of rows) {
    const p = Math.min(Math.max(probabilities[row] as number, CLOSEST), 1 - CLOSEST);
    const promised = -p * Math.log(p) - (1 - p) * Math.log1p(-p);
    const excess = -Math.log(labels[row] === 1 ? p : 1 - p) - promised;
    sum += excess;
    squares += excess * excess;
  }
  const mean = sum / rows.length;
  return create(ReferenceTruthSchema, {
    from: timestampFromMs(fromMs),
    rows: rows.length,
    excessLogLoss: mean,
    excessVariance: Math.max(squares / rows.length - mean * mean, 0),
  });
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
