import { BIN_COUNT } from "./binning.ts";

/** Numbers per bin of a histogram: sum of gradients, sum of hessians. */
export const BIN_WIDTH = 2;
/** Numbers in one feature's histogram. */
export const FEATURE_WIDTH = BIN_COUNT * BIN_WIDTH;

/** What histograms are made of; all in shared memory, so that threads see the same. */
export interface HistogramData {
  /** Bins, feature after feature: rows * features. */
  readonly bins: Uint8Array;
  /** Row numbers, those of a node side by side. */
  readonly order: Uint32Array;
  /** Gradient and hessian of the row at the same place in `order`. */
  readonly gradients: Float64Array;
  readonly hessians: Float64Array;
  /** Slots of features * FEATURE_WIDTH numbers, one per node. */
  readonly histograms: Float64Array;
  readonly rows: number;
  readonly features: number;
}

/** A node whose histogram is wanted: its rows are order[begin..end), the result goes to the slot. */
export interface HistogramTask {
  readonly slot: number;
  readonly begin: number;
  readonly end: number;
}

/**
 * Sums gradients and hessians by bin, for the features from `firstFeature` on in steps of `step`. Rows are added in their order, so the
 * result does not depend on how the features are shared out among threads.
 */
export function fillHistograms(
  data: HistogramData,
  tasks: readonly HistogramTask[],
  firstFeature: number,
  step: number,
): void {
  const { order, gradients, hessians, rows, features } = data;
  for (const { slot, begin, end } of tasks) {
    for (let feature = firstFeature; feature < features; feature += step) {
      const start = (slot * features + feature) * FEATURE_WIDTH;
      const histogram = data.histograms.subarray(start, start + FEATURE_WIDTH).fill(0);
      const bins = data.bins.subarray(feature * rows, (feature + 1) * rows);
      for (let index = begin; index < end; index += 1) {
        const at = (bins[order[index] as number] as number) << 1;
        histogram[at] = (histogram[at] as number) + (gradients[index] as number);
        histogram[at + 1] = (histogram[at + 1] as number) + (hessians[index] as number);
      }
    }
  }
}

/** The larger child's histogram is its parent's less its sibling's. Writes into the parent's slot. */
export function subtractHistogram(data: HistogramData, parentSlot: number, siblingSlot: number): void {
  const size = data.features * FEATURE_WIDTH;
  const parent = data.histograms.subarray(parentSlot * size, (parentSlot + 1) * size);
  const sibling = data.histograms.subarray(siblingSlot * size, (siblingSlot + 1) * size);
  for (let index = 0; index < size; index += 1) parent[index] = (parent[index] as number) - (sibling[index] as number);
}
