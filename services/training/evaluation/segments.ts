import { create } from "@bufbuild/protobuf";
import { quantile } from "@millrace/metrics";
import { type SegmentEvaluation, SegmentEvaluationSchema } from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import { selectAnswers } from "../answers.ts";
import { type EstimateOptions, estimateMetrics, metricsOf } from "./estimates.ts";
import type { AnsweredRows } from "./measures.ts";

/** Rows by the values of one feature or field. */
export interface SegmentColumn {
  readonly by: string;
  /** The segment of each row, as an index of `names`. */
  readonly segmentOf: Uint32Array;
  readonly names: readonly string[];
}

/** A segment of fewer rows says more of chance than of the model. */
const MIN_ROWS = 100;
/** Of a feature or field, the largest are told. */
const MAX_SEGMENTS = 50;
/** Numbers of more different values are cut at their quantiles, into so many ranges. */
const MAX_VALUES = 24;
const RANGES = 5;
/** Intervals of segments need fewer samples than those of the whole. */
const SAMPLES = 100;

/** Segments by text; what is missing is a segment of its own. */
export function segmentsOfTexts(by: string, values: readonly (string | undefined)[]): SegmentColumn {
  const indexes = new Map<string, number>();
  const segmentOf = Uint32Array.from(values, (value = "missing") => {
    const known = indexes.get(value);
    if (known === undefined) indexes.set(value, indexes.size);
    return known ?? indexes.size - 1;
  });
  return { by, segmentOf, names: [...indexes.keys()] };
}

/** Segments by the values of a feature, or by ranges of them, where they are many and stand for amounts. */
export function segmentsOfNumbers(by: string, values: Float64Array, isCategorical: boolean): SegmentColumn {
  const known = values.filter((value) => !Number.isNaN(value)).sort();
  const distinct = known.filter((value, index) => index === 0 || value !== known[index - 1]);
  if (isCategorical || distinct.length <= MAX_VALUES) {
    return segmentsOfTexts(
      by,
      Array.from(values, (value) => (Number.isNaN(value) ? undefined : show(value))),
    );
  }
  const edges = Array.from({ length: RANGES - 1 }, (_, index) => quantile(known, (index + 1) / RANGES));
  const starts = [known[0] as number, ...edges];
  const ends = [...edges, known.at(-1) as number];
  return segmentsOfTexts(
    by,
    Array.from(values, (value) => {
      if (Number.isNaN(value)) return undefined;
      const range = edges.findIndex((edge) => value <= edge);
      const index = range === -1 ? RANGES - 1 : range;
      return `${show(starts[index] as number)} to ${show(ends[index] as number)}`;
    }),
  );
}

const show = (value: number): string => String(Number(value.toPrecision(4)));

/**
 * How good a model is in each segment, the largest segments of each column first.
 *
 * @param metric the app's, that gets intervals
 */
export function evaluateSegments(
  columns: readonly SegmentColumn[],
  metric: string,
  candidate: AnsweredRows,
  champion: AnsweredRows | undefined,
  options: Pick<EstimateOptions, "seed" | "confidence">,
): SegmentEvaluation[] {
  return columns.flatMap(({ by, segmentOf, names }) => {
    const rowsBySegment = Map.groupBy(segmentOf.keys(), (row) => segmentOf[row] as number);
    return [...rowsBySegment]
      .filter(([, rows]) => rows.length >= MIN_ROWS)
      .sort(([, left], [, right]) => right.length - left.length)
      .slice(0, MAX_SEGMENTS)
      .map(([segment, rows]) => {
        const own = selected(candidate, rows);
        const other = champion && selected(champion, rows);
        const [compared] = estimateMetrics(own, other, { ...options, samples: SAMPLES, only: [metric] });
        const all = estimateMetrics(own, undefined, { ...options, samples: 0 });
        return create(SegmentEvaluationSchema, {
          by,
          segment: names[segment] ?? "",
          rows: BigInt(rows.length),
          ...(compared === undefined ? {} : { candidate: compared.candidate }),
          ...(compared?.champion === undefined ? {} : { champion: compared.champion }),
          metrics: metricsOf(own, all),
        });
      });
  });
}

const selected = (answered: AnsweredRows, rows: readonly number[]): AnsweredRows => ({
  ...answered,
  labels: Float64Array.from(rows, (row) => answered.labels[row] as number),
  answers: selectAnswers(answered.answers, rows),
});
