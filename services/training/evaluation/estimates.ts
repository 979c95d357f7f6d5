import { blocksOf, drawBlocks, type Estimate, estimateOf, mean } from "@millrace/metrics";
import { type AnsweredRows, measuresOf } from "./measures.ts";
import { definitionOf, type Metrics } from "./metrics.ts";

/** Samples that intervals are made of. */
export const SAMPLES = 300;

/** One metric of a candidate, with the champion's on the same rows and the same drawn rows. */
export interface MetricComparison {
  readonly name: string;
  readonly candidate: Estimate;
  readonly champion: Estimate | undefined;
  /** By how much the candidate is better; its lower end is what it is better by at least, with the app's confidence. */
  readonly advantage: Estimate | undefined;
}

export interface EstimateOptions {
  readonly seed: number;
  /** Of the paired advantage: the share of samples in which it is larger than its lower end. */
  readonly confidence: number;
  readonly samples?: number;
  /** Names of the metrics wanted. Default: all. */
  readonly only?: readonly string[];
}

/** Every metric of the candidate with its bootstrap interval, beside the champion, paired: both see the same drawn rows. */
export function estimateMetrics(
  candidate: AnsweredRows,
  champion: AnsweredRows | undefined,
  { seed, confidence, samples = SAMPLES, only }: EstimateOptions,
): MetricComparison[] {
  const blocks = blocksOf(candidate.labels.length);
  const drawn = drawBlocks(blocks, samples, seed);
  const ofChampion = champion === undefined ? undefined : measuresOf(champion, blocks);
  const comparisons: MetricComparison[] = [];
  for (const [name, measure] of measuresOf(candidate, blocks)) {
    if (only?.includes(name) === false) continue;
    const values = drawn.map(measure);
    const others = ofChampion?.get(name) === undefined ? undefined : drawn.map(ofChampion.get(name) as typeof measure);
    comparisons.push({
      name,
      candidate: estimateOf(values),
      champion: others && estimateOf(others),
      advantage: others && advantageOf(name, values, others, confidence),
    });
  }
  return comparisons;
}

/** One-sided: in a share of `confidence` of the samples the candidate is better by more than the lower end. */
function advantageOf(name: string, values: readonly number[], others: readonly number[], confidence: number): Estimate {
  const sign = definitionOf(name).higherIsBetter ? 1 : -1;
  const differences = values.map((value, sample) => sign * (value - (others[sample] as number)));
  return estimateOf(differences, 2 * confidence - 1);
}

/** The values alone, as a version keeps them. */
export function metricsOf(rows: AnsweredRows, comparisons: readonly MetricComparison[]): Metrics {
  const values = comparisons.map(({ name, candidate }) => [name, candidate.value] as const);
  const known = Object.fromEntries(values.filter(([, value]) => Number.isFinite(value)));
  const { labels, task } = rows;
  return { ...known, ...(task.kind === "binary" ? { base_rate: mean(labels) } : {}), rows: labels.length };
}

/** The values of all metrics without intervals, when many candidates or segments are compared. */
export function quickMetrics(rows: AnsweredRows): Metrics {
  return metricsOf(rows, estimateMetrics(rows, undefined, { seed: 0, confidence: 0.95, samples: 0 }));
}
