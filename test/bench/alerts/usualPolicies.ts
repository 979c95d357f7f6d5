import { binOf, populationStability } from "@millrace/metrics";
import {
  jensenShannon,
  kolmogorovSmirnovTail,
  twoSampleChiSquare,
} from "../../../services/monitor/statistics/binnedDistances.ts";
import { sampleKolmogorovSmirnov, sampleWasserstein } from "../../../services/monitor/statistics/sampleDistances.ts";
import { CATEGORY } from "./flightRows.ts";
import type { Block, Stream } from "./streams.ts";

/** What others do: each window is judged alone, against all rows of the reference, by one rule for every column. */
export const USUAL = ["p < 0.05", "PSI > 0.2", "Evidently, any column", "Evidently, half of the columns"] as const;
export type Usual = (typeof USUAL)[number];

const PSI_GROUPS = 10;
/** Evidently 0.7: beyond 1,000 reference rows, Wasserstein distance in standard deviations, or Jensen-Shannon distance for categories, from 0.1 on. */
const EVIDENTLY_LIMIT = 0.1;

/** For each live window, which policies raise an alarm. */
export function runUsual(stream: Stream, names: readonly string[]): Record<Usual, boolean[]> {
  const columns = names.flatMap((name, index) => (name === "hour" || name === "weekday" ? [] : [{ name, index }]));
  const references = columns.map(({ name, index }) => describe(stream.reference, index, name === CATEGORY));
  const alarms: Record<Usual, boolean[]> = {
    "p < 0.05": [],
    "PSI > 0.2": [],
    "Evidently, any column": [],
    "Evidently, half of the columns": [],
  };
  for (const block of stream.live) {
    const distances = columns.map(({ index }, column) => compare(references[column] as Described, block, index));
    const drifted = distances.filter(({ evidently }) => evidently >= EVIDENTLY_LIMIT).length;
    alarms["p < 0.05"].push(distances.some(({ p }) => p < 0.05));
    alarms["PSI > 0.2"].push(distances.some(({ psi }) => psi > 0.2));
    alarms["Evidently, any column"].push(drifted > 0);
    alarms["Evidently, half of the columns"].push(drifted >= columns.length / 2);
  }
  return alarms;
}

interface Described {
  readonly isCategory: boolean;
  readonly sorted: Float64Array;
  readonly edges: readonly number[];
  readonly counts: Float64Array;
  readonly deviation: number;
}

function describe(blocks: readonly Block[], column: number, isCategory: boolean): Described {
  const sorted = sortedPresent(blocks.map(({ columns }) => columns[column] as Float64Array));
  const edges = isCategory ? [...new Set(sorted)].slice(0, -1) : tenths(sorted);
  const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
  const deviation = Math.sqrt(sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0) / sorted.length);
  return { isCategory, sorted, edges, counts: countsOf(edges, sorted), deviation };
}

function compare(reference: Described, block: Block, column: number): { p: number; psi: number; evidently: number } {
  const { isCategory, sorted, edges, counts, deviation } = reference;
  const values = sortedPresent([block.columns[column] as Float64Array]);
  if (values.length === 0) return { p: 1, psi: 0, evidently: 0 };
  const current = countsOf(edges, values);
  const psi = populationStability(
    current,
    Array.from(counts, (count) => count / sorted.length),
  );
  if (isCategory) return { p: twoSampleChiSquare(current, counts), psi, evidently: jensenShannon(current, counts) };
  const p = kolmogorovSmirnovTail(sampleKolmogorovSmirnov(sorted, values), sorted.length, values.length);
  return { p, psi, evidently: sampleWasserstein(sorted, values) / deviation };
}

function sortedPresent(parts: readonly Float64Array[]): Float64Array {
  const present = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let count = 0;
  for (const part of parts) {
    for (const value of part) {
      if (Number.isNaN(value)) continue;
      present[count] = value;
      count += 1;
    }
  }
  return present.subarray(0, count).sort();
}

function tenths(sorted: Float64Array): number[] {
  const edges = new Set<number>();
  for (let group = 1; group < PSI_GROUPS; group += 1)
    edges.add(sorted[Math.floor((group / PSI_GROUPS) * sorted.length)] as number);
  return [...edges];
}

function countsOf(edges: readonly number[], values: Float64Array): Float64Array {
  const counts = new Float64Array(edges.length + 1);
  for (const value of values) {
    const bin = binOf(edges, value);
    counts[bin] = (counts[bin] as number) + 1;
  }
  return counts;
}
