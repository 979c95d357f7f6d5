import { create } from "@bufbuild/protobuf";
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

/** What the monitor compares with: the training rows' features, and the model's answers on the holdout. */
export function describeTraining(
  featureNames: readonly string[],
  columns: readonly Float64Array[],
  rows: Uint32Array,
  predictions: Float64Array,
): ReferenceDistribution {
  return create(ReferenceDistributionSchema, {
    features: featureNames.map((name, index) => describeColumn(name, pick(columns[index] as Float64Array, rows))),
    prediction: describeColumn("prediction", predictions),
    rows: BigInt(rows.length),
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
