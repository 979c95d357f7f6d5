import { MISSING_BIN } from "./binning.ts";
import { BIN_WIDTH, FEATURE_WIDTH } from "./histogram.ts";

/** Sums over a node's rows. */
export interface NodeSums {
  readonly gradient: number;
  readonly hessian: number;
}

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

/** Score of a leaf: the loss that its best value takes away, times two (Chen and Guestrin, 2016, eq. 6). */
export const leafScore = ({ gradient, hessian }: NodeSums, lambda: number): number =>
  (gradient * gradient) / (hessian + lambda);

/** A leaf's best value (Chen and Guestrin, 2016, eq. 5), before the learning rate. */
export const leafValue = ({ gradient, hessian }: NodeSums, lambda: number): number => -gradient / (hessian + lambda);

/**
 * The best split of a node: gain = (score(left) + score(right) - score(node)) / 2 (Chen and Guestrin, 2016, eq. 7). Rows with a missing
 * value are tried on both sides. Equal gains: the first feature, the lowest bin.
 *
 * @param histogram of the node, features * FEATURE_WIDTH numbers
 * @param edgeCounts number of edges per feature
 */
export function bestSplit(
  histogram: Float64Array,
  edgeCounts: readonly number[],
  node: NodeSums,
  rules: SplitRules,
): Split | undefined {
  const parentScore = leafScore(node, rules.lambda);
  let best: Split | undefined;
  for (const [feature, edges] of edgeCounts.entries()) {
    const start = feature * FEATURE_WIDTH;
    const missing = {
      gradient: histogram[start + MISSING_BIN * BIN_WIDTH] as number,
      hessian: histogram[start + MISSING_BIN * BIN_WIDTH + 1] as number,
    };
    let gradient = 0;
    let hessian = 0;
    for (let bin = 0; bin < edges; bin += 1) {
      gradient += histogram[start + bin * BIN_WIDTH] as number;
      hessian += histogram[start + bin * BIN_WIDTH + 1] as number;
      for (const missingLeft of missing.hessian > 0 ? MISSING_BOTH : MISSING_NONE) {
        const leftGradient = missingLeft ? gradient + missing.gradient : gradient;
        const leftHessian = missingLeft ? hessian + missing.hessian : hessian;
        const rightHessian = node.hessian - leftHessian;
        if (leftHessian < rules.minChildWeight || rightHessian < rules.minChildWeight) continue;
        const rightGradient = node.gradient - leftGradient;
        const gain =
          ((leftGradient * leftGradient) / (leftHessian + rules.lambda) +
            (rightGradient * rightGradient) / (rightHessian + rules.lambda) -
            parentScore) /
          2;
        if (gain > rules.minGain && gain > (best?.gain ?? 0)) {
          best = {
            feature,
            bin,
            // Where nothing was missing, a missing value goes where most rows go.
            missingLeft: missing.hessian > 0 ? missingLeft : leftHessian >= rightHessian,
            gain,
            left: { gradient: leftGradient, hessian: leftHessian },
            right: { gradient: rightGradient, hessian: rightHessian },
          };
        }
      }
    }
  }
  return best;
}

const MISSING_BOTH = [true, false];
const MISSING_NONE = [false];
