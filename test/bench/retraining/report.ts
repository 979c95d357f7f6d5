import { areaUnderRoc, type Estimate, estimateOf, logLoss, randomNumbers } from "@millrace/metrics";
import type { FlightHistory } from "./flightHistory.ts";
import { firstAtOrAfter } from "./training.ts";

const DAY_MS = 86_400_000;
const SAMPLES = 2_000;

/** Flights from index `begin` to `end`, with their truth. */
export interface Scored {
  readonly labels: Float64Array;
  readonly atMs: Float64Array;
}

export const scoredRows = ({ labels, atMs }: FlightHistory, fromMs: number, toMs: number): Scored => {
  const [begin, end] = [firstAtOrAfter(atMs, fromMs), firstAtOrAfter(atMs, toMs)];
  return { labels: labels.subarray(begin, end), atMs: atMs.subarray(begin, end) };
};

export interface Quality {
  /** `2001-02`, or `all`. */
  readonly when: string;
  readonly rows: number;
  readonly logLoss: number;
  readonly auc: number;
}

/** By month, and over all. */
export function qualityByMonth({ labels, atMs }: Scored, probabilities: Float64Array): Quality[] {
  const measure = (when: string, begin: number, end: number): Quality => {
    const [truths, answers] = [labels.subarray(begin, end), probabilities.subarray(begin, end)];
    return { when, rows: end - begin, logLoss: logLoss(truths, answers), auc: areaUnderRoc(truths, answers) };
  };
  const months: Quality[] = [];
  for (let begin = 0; begin < labels.length; ) {
    const date = new Date(atMs[begin] as number);
    const end = firstAtOrAfter(atMs, Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1));
    months.push(measure(date.toISOString().slice(0, 7), begin, end));
    begin = end;
  }
  return [...months, measure("all", 0, labels.length)];
}

/**
 * By how much the first's mean log loss is smaller than the other's on the same flights, with its interval (95 %). Whole days are drawn, since the
 * flights of a day move together.
 */
export function advantageOf({ labels, atMs }: Scored, first: Float64Array, other: Float64Array): Estimate {
  const days = new Map<number, { rows: number; sum: number }>();
  for (let row = 0; row < labels.length; row += 1) {
    const number = Math.floor((atMs[row] as number) / DAY_MS);
    const day = days.get(number) ?? { rows: 0, sum: 0 };
    day.rows += 1;
    day.sum += lossOf(other[row] as number, labels[row]) - lossOf(first[row] as number, labels[row]);
    days.set(number, day);
  }
  const random = randomNumbers(1);
  const all = [...days.values()];
  const mean = (drawn: typeof all): number =>
    drawn.reduce((sum, day) => sum + day.sum, 0) / drawn.reduce((sum, day) => sum + day.rows, 0);
  const draw = (): typeof all => all.map(() => all[Math.floor(random() * all.length)] as (typeof all)[number]);
  return estimateOf([mean(all), ...Array.from({ length: SAMPLES }, () => mean(draw()))]);
}

function lossOf(probability: number, label: number | undefined): number {
  const likely = label === 1 ? probability : 1 - probability;
  return -Math.log(Math.max(likely, 1e-15));
}
