import { MISSING_BIN } from "./binning.ts";
import { BIN_WIDTH, FEATURE_WIDTH } from "./histogram.ts";

/** Sums over a node's rows. */
export interface NodeSums {
  readonly gradient: number;
  readonly hessian: number;
}

/** What a node's value has to lie between, before the learning rate, so that constrained features above it keep their direction. */
export interface Bounds {
  readonly lower: number;
  readonly upper: number;
}

export const UNBOUNDED: Bounds = { lower: -Infinity, upper: Infinity };

export interface SplitRules {
  /** L2 penalty on leaf values. */
  readonly lambda: number;
  /** Smallest sum of hessians in a child. */
  readonly minChildWeight: number;
  /** A split that gains no more than this is not made. */
  readonly minGain: number;
}

export interface Split {
  readonly feature: number;
  /** Rows whose bin is at most this go left. */
  readonly bin: number;
  readonly missingLeft: boolean;
  readonly gain: number;
  readonly left: NodeSums;
  readonly right: NodeSums;
}

/** How a feature was binned. */
export interface FeatureShape {
  /** Number of edges between its bins. */
  readonly edges: number;
  /** Whether any row to train on lacks it. */
  readonly hasMissing: boolean;
  /** 1: the score must not fall where the feature grows; -1: it must not rise. Absent or 0: free. */
  readonly monotone?: -1 | 0 | 1;
}

/** Score of a leaf: the loss that its best value takes away, times two (Chen and Guestrin, 2016, eq. 6). */
export const leafScore = ({ gradient, hessian }: NodeSums, lambda: number): number =>
  (gradient * gradient) / (hessian + lambda);

/** A leaf's best value (Chen and Guestrin, 2016, eq. 5), before the learning rate. */
export const leafValue = ({ gradient, hessian }: NodeSums, lambda: number): number => -gradient / (hessian + lambda);

/** The best value within bounds. */
export const boundedLeafValue = (sums: NodeSums, lambda: number, { lower, upper }: Bounds): number =>
  Math.min(Math.max(leafValue(sums, lambda), lower), upper);

/** Score of a leaf whose value is within bounds; where the best value is, the same as `leafScore`. */
function boundedLeafScore({ gradient, hessian }: NodeSums, lambda: number, value: number): number {
  return -(2 * gradient * value + (hessian + lambda) * value * value);
}

/** What constrained features ask of a node: its bounds, and the directions of its features (in their shapes). */
export interface SplitLimits {
  readonly bounds: Bounds;
  /** 1 for each feature that may be split. Absent: all. */
  readonly allowed?: Uint8Array | undefined;
}

/**
 * The best split of a node: gain = (score(left) + score(right) - score(node)) / 2 (Chen and Guestrin, 2016, eq. 7). Rows with a missing
 * value are tried on both sides. Equal gains: the first feature, the lowest bin, missing values to the left.
 *
 * @param histogram of the node, features * FEATURE_WIDTH numbers
 * @param limits where some feature is constrained or left out
 */
export function bestSplit(
  histogram: Float64Array,
  features: readonly FeatureShape[],
  node: NodeSums,
  rules: SplitRules,
  limits?: SplitLimits,
): Split | undefined {
  let best: Split | undefined;
  for (let feature = 0; feature < features.length; feature += 1) {
    if (limits?.allowed !== undefined && limits.allowed[feature] === 0) continue;
    const shape = features[feature] as FeatureShape;
    const found = bestSplitOf(histogram, feature, shape, node, rules, best?.gain ?? 0, limits?.bounds);
    best = found ?? best;
  }
  return best;
}

/** Gain of a split times two, without the parent's score; negative infinity where it would turn a constrained feature round. */
function boundedChildScores(left: NodeSums, right: NodeSums, lambda: number, bounds: Bounds, monotone: number): number {
  const leftValue = boundedLeafValue(left, lambda, bounds);
  const rightValue = boundedLeafValue(right, lambda, bounds);
  if (monotone * (rightValue - leftValue) < 0) return -Infinity;
  return boundedLeafScore(left, lambda, leftValue) + boundedLeafScore(right, lambda, rightValue);
}

/** The feature's best split, if it gains more than `leastGain`. */
function bestSplitOf(
  histogram: Float64Array,
  feature: number,
  { edges, hasMissing, monotone = 0 }: FeatureShape,
  node: NodeSums,
  { lambda, minChildWeight, minGain }: SplitRules,
  leastGain: number,
  bounds: Bounds | undefined,
): Split | undefined {
  const start = feature * FEATURE_WIDTH;
  const missingGradient = hasMissing ? (histogram[start + MISSING_BIN * BIN_WIDTH] as number) : 0;
  const missingHessian = hasMissing ? (histogram[start + MISSING_BIN * BIN_WIDTH + 1] as number) : 0;
  const parentScore =
    bounds === undefined
      ? leafScore(node, lambda)
      : boundedLeafScore(node, lambda, boundedLeafValue(node, lambda, bounds));
  let bestGain = Math.max(leastGain, minGain);
  let bestBin = -1;
  let bestMissingLeft = false;
  let best: Pick<Split, "left" | "right"> | undefined;
  let gradient = 0;
  let hessian = 0;
  for (let bin = 0; bin < edges; bin += 1) {
    gradient += histogram[start + bin * BIN_WIDTH] as number;
    hessian += histogram[start + bin * BIN_WIDTH + 1] as number;
    for (let side = hasMissing ? 0 : 1; side < 2; side += 1) {
      const leftGradient = side === 0 ? gradient + missingGradient : gradient;
      const leftHessian = side === 0 ? hessian + missingHessian : hessian;
      const rightGradient = node.gradient - leftGradient;
      const rightHessian = node.hessian - leftHessian;
      if (leftHessian < minChildWeight || rightHessian < minChildWeight) continue;
      const childScores =
        bounds === undefined
          ? (leftGradient * leftGradient) / (leftHessian + lambda) +
            (rightGradient * rightGradient) / (rightHessian + lambda)
          : boundedChildScores(
              { gradient: leftGradient, hessian: leftHessian },
              { gradient: rightGradient, hessian: rightHessian },
              lambda,
              bounds,
              monotone,
            );
      const gain = (childScores - parentScore) / 2;
      if (gain > bestGain) {
        bestGain = gain;
        bestBin = bin;
        // Where training saw nothing missing, a missing value goes where most rows go.
        bestMissingLeft = hasMissing ? side === 0 : leftHessian >= rightHessian;
        best = {
          left: { gradient: leftGradient, hessian: leftHessian },
          right: { gradient: rightGradient, hessian: rightHessian },
        };
      }
    }
  }
  return best && { feature, bin: bestBin, missingLeft: bestMissingLeft, gain: bestGain, ...best };
}
