import { equalMassBins, rowsByProbability } from "./binaryMetrics.ts";

/** Points of a curve; of a reliability curve, the rows of each point, too. */
export interface CurvePoints {
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly rows?: readonly number[];
}

/** More points than this nobody sees. */
const MAX_POINTS = 101;
const RELIABILITY_BINS = 15;

/** Positives and rows that have at least each of the distinct scores, from the highest down. */
function cumulated(labels: Float64Array, scores: Float64Array): { positives: number[]; rows: number[] } {
  const order = rowsByProbability(scores).reverse();
  const positives: number[] = [];
  const rows: number[] = [];
  let found = 0;
  for (const [index, row] of order.entries()) {
    found += labels[row] as number;
    const next = order[index + 1];
    if (next !== undefined && scores[next] === scores[row]) continue;
    positives.push(found);
    rows.push(index + 1);
  }
  return { positives, rows };
}

/** False positive rate against true positive rate, from (0, 0) to (1, 1). */
export function rocCurve(labels: Float64Array, scores: Float64Array): CurvePoints {
  const { positives, rows } = cumulated(labels, scores);
  const allPositives = positives.at(-1) ?? 0;
  const allNegatives = labels.length - allPositives;
  const x = rows.map((count, index) => (count - (positives[index] as number)) / allNegatives);
  return thinned([0, ...x], [0, ...positives.map((count) => count / allPositives)]);
}

/** Recall against precision, from the highest scores down. */
export function precisionRecallCurve(labels: Float64Array, scores: Float64Array): CurvePoints {
  const { positives, rows } = cumulated(labels, scores);
  const allPositives = positives.at(-1) ?? 0;
  return thinned(
    positives.map((count) => count / allPositives),
    positives.map((count, index) => count / (rows[index] as number)),
  );
}

/** Share of the rows, highest scores first, against the share of all positives (of the labels' sum) among them. */
export function gainCurve(labels: Float64Array, scores: Float64Array): CurvePoints {
  const { positives, rows } = cumulated(labels, scores);
  const all = positives.at(-1) ?? 0;
  return thinned([0, ...rows.map((count) => count / labels.length)], [0, ...positives.map((count) => count / all)]);
}

/** Mean probability of bins of about the same number of rows against their share of positives. */
export function reliabilityCurve(labels: Float64Array, probabilities: Float64Array): CurvePoints {
  const binOf = equalMassBins(probabilities, RELIABILITY_BINS);
  const bins = Array.from({ length: RELIABILITY_BINS }, () => ({ rows: 0, positives: 0, sum: 0 }));
  for (let row = 0; row < labels.length; row += 1) {
    const bin = bins[binOf[row] as number] as (typeof bins)[number];
    bin.rows += 1;
    bin.positives += labels[row] as number;
    bin.sum += probabilities[row] as number;
  }
  const filled = bins.filter(({ rows }) => rows > 0);
  return {
    x: filled.map(({ sum, rows }) => sum / rows),
    y: filled.map(({ positives, rows }) => positives / rows),
    rows: filled.map(({ rows }) => rows),
  };
}

/** Evenly chosen points, the first and the last among them. */
function thinned(x: readonly number[], y: readonly number[]): CurvePoints {
  if (x.length <= MAX_POINTS) return { x, y };
  const kept = Array.from({ length: MAX_POINTS }, (_, index) =>
    Math.round((index * (x.length - 1)) / (MAX_POINTS - 1)),
  );
  return { x: kept.map((index) => x[index] as number), y: kept.map((index) => y[index] as number) };
}
