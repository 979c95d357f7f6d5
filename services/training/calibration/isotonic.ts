import type { CalibrationRows } from "./calibration.ts";

/** A rising line through knots, flat outside them; float32 numbers, as the model file holds them. */
export interface IsotonicCalibration {
  readonly method: "isotonic";
  /** Scores in log odds, rising. At least two. */
  readonly scores: readonly number[];
  /** Probabilities, rising; of the same length. */
  readonly probabilities: readonly number[];
}

/** Rows with neighbouring scores that share one probability; sums over them, by weight. */
export interface Block {
  readonly weight: number;
  readonly positives: number;
  readonly scoreSum: number;
}

/** A knot stands for at least this many rows (by weight), and for at least a hundredth of them: the share of fewer is mostly chance. */
const MIN_KNOT_WEIGHT = 50;
const MAX_KNOTS = 100;
/** Probability per unit of log odds; that of true probabilities is at most 0.25. A steeper line would make float32 noise visible. */
const MAX_SLOPE = 2;

/**
 * Isotonic regression of the label on the score (pool adjacent violators; Ayer et al., 1955; Zadrozny and Elkan, 2002), as a line
 * between the middles of its blocks rather than steps, so that probabilities keep the order of the scores. Nothing where
 * fewer than two blocks remain: the scores say nothing.
 */
export function fitIsotonic(rows: CalibrationRows): IsotonicCalibration | undefined {
  const pooled = poolAdjacentViolators(blocksOfEqualScore(rows));
  const total = pooled.reduce((sum, { weight }) => sum + weight, 0);
  const blocks = mergeSteep(mergeLight(pooled, Math.max(MIN_KNOT_WEIGHT, total / MAX_KNOTS)));
  const [first, last] = [blocks[0], blocks.at(-1)];
  if (first === undefined || last === undefined || blocks.length < 2) return undefined;
  // No share is certain: as after one more row of either class (Laplace's rule), for the outermost blocks.
  const low = 1 / (first.weight + 2);
  const high = 1 - 1 / (last.weight + 2);
  return {
    method: "isotonic",
    scores: blocks.map((block) => Math.fround(middleOf(block))),
    probabilities: blocks.map((block) => Math.fround(Math.min(Math.max(shareOf(block), low), high))),
  };
}

/** The line's height at a score. */
export function isotonicProbability({ scores, probabilities }: IsotonicCalibration, score: number): number {
  let low = 0;
  let high = scores.length - 1;
  if (score <= (scores[low] as number)) return probabilities[low] as number;
  if (score >= (scores[high] as number)) return probabilities[high] as number;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if ((scores[middle] as number) <= score) low = middle;
    else high = middle;
  }
  const [left, right] = [scores[low] as number, scores[high] as number];
  const [bottom, top] = [probabilities[low] as number, probabilities[high] as number];
  return bottom + ((top - bottom) * (score - left)) / (right - left);
}

/** Merges neighbours until the share of positives rises from block to block. @param blocks in order of score */
export function poolAdjacentViolators(blocks: readonly Block[]): Block[] {
  const pooled: Block[] = [];
  for (const block of blocks) {
    let newest = block;
    for (
      let before = pooled.at(-1);
      before !== undefined && shareOf(before) >= shareOf(newest);
      before = pooled.at(-1)
    ) {
      newest = merged(before, newest);
      pooled.pop();
    }
    pooled.push(newest);
  }
  return pooled;
}

function blocksOfEqualScore({ scores, labels, weights }: CalibrationRows): Block[] {
  const order = Uint32Array.from(scores.keys()).sort((a, b) => (scores[a] as number) - (scores[b] as number));
  const blocks: Block[] = [];
  let previous = Number.NaN;
  for (const row of order) {
    const score = scores[row] as number;
    const weight = weights?.[row] ?? 1;
    if (weight === 0) continue;
    const block = { weight, positives: weight * (labels[row] as number), scoreSum: weight * score };
    if (score === previous) blocks.push(merged(blocks.pop() as Block, block));
    else blocks.push(block);
    previous = score;
  }
  return blocks;
}

/** Merges blocks lighter than `least` with the next one; the last with the one before it. */
function mergeLight(blocks: readonly Block[], least: number): Block[] {
  const result: Block[] = [];
  for (const block of blocks) {
    const before = result.at(-1);
    if (before !== undefined && before.weight < least) result.push(merged(result.pop() as Block, block));
    else result.push(block);
  }
  const [last, before] = [result.pop(), result.pop()];
  if (last === undefined) return [];
  if (before === undefined) return [last];
  return last.weight < least ? [...result, merged(before, last)] : [...result, before, last];
}

/** Merges neighbours between which the line would be steeper than allowed. */
function mergeSteep(blocks: readonly Block[]): Block[] {
  const result: Block[] = [];
  for (const block of blocks) {
    let newest = block;
    for (
      let before = result.at(-1);
      before !== undefined && slope(before, newest) > MAX_SLOPE;
      before = result.at(-1)
    ) {
      newest = merged(before, newest);
      result.pop();
    }
    result.push(newest);
  }
  return result;
}

const slope = (left: Block, right: Block): number =>
  (shareOf(right) - shareOf(left)) / (middleOf(right) - middleOf(left));

const shareOf = ({ positives, weight }: Block): number => positives / weight;

const middleOf = ({ scoreSum, weight }: Block): number => scoreSum / weight;

const merged = (left: Block, right: Block): Block => ({
  weight: left.weight + right.weight,
  positives: left.positives + right.positives,
  scoreSum: left.scoreSum + right.scoreSum,
});
