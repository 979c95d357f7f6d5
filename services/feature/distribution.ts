import { create } from "@bufbuild/protobuf";
import {
  type DistributionBins,
  DistributionBinsSchema,
  type Quantile,
  QuantileSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";

/** A column with at most so many values has a bin for each; otherwise bins have about as many rows each: a hundredth is fine enough to see. */
const MAX_BINS = 128;
const SHARES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99] as const;

/** Number of different values. @param sorted ascending */
export function distinctOf(sorted: Float64Array): number {
  let distinct = 0;
  for (let index = 0; index < sorted.length; index += 1) {
    if (index === 0 || sorted[index] !== sorted[index - 1]) distinct += 1;
  }
  return distinct;
}

/** Bins of about equal size that never part equal values. @param sorted ascending, without NaN */
export function binsOf(sorted: Float64Array): DistributionBins {
  const bins = create(DistributionBinsSchema);
  const target = distinctOf(sorted) <= MAX_BINS ? 1 : sorted.length / MAX_BINS;
  let open = 0;
  let start = 0;
  const close = (end: number): void => {
    if (end === open) return;
    bins.low.push(sorted[open] as number);
    bins.high.push(sorted[end - 1] as number);
    bins.rows.push(BigInt(end - open));
    open = end;
  };
  while (start < sorted.length) {
    let end = start + 1;
    while (end < sorted.length && sorted[end] === sorted[start]) end += 1;
    // A value that fills a bin of its own does not share it.
    if (end - start >= target) close(start);
    if (end - open >= target) close(end);
    start = end;
  }
  close(sorted.length);
  return bins;
}

/** The usual quantiles: the smallest value that at least such a share of the values does not exceed. @param sorted ascending, without NaN */
export function quantilesOf(sorted: Float64Array): Quantile[] {
  if (sorted.length === 0) return [];
  return SHARES.map((share) => {
    const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] as number;
    return create(QuantileSchema, { share, value });
  });
}

/** Number of the bin that a value is in, or of the one below it when it is between two; -1 below all. */
export function binOf({ low }: DistributionBins, value: number): number {
  let first = 0;
  let last = low.length;
  while (first < last) {
    const middle = (first + last) >>> 1;
    if ((low[middle] as number) <= value) first = middle + 1;
    else last = middle;
  }
  return first - 1;
}
