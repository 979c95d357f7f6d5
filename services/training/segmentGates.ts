import type { GateCheck, SegmentEvaluation } from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import { metricDefinition } from "./evaluation/metrics.ts";
import { type GateInput, gateCheck } from "./gates.ts";

/** Of the segments that have the app's metric: no one may be too much worse than the champion's, or than the candidate's own over all rows. */
export function segmentGates({ gates, metric, candidate, segments }: GateInput): GateCheck[] {
  const { key, title, higherIsBetter } = metricDefinition(metric);
  const sign = higherIsBetter ? 1 : -1;
  const checks: GateCheck[] = [];
  const check = (
    rule: string,
    limit: number,
    than: string,
    other: (segment: SegmentEvaluation) => number | undefined,
  ): void => {
    const worst = worstBy(segments, (segment) => {
      const theirs = other(segment);
      const own = segment.candidate?.value;
      return own === undefined || theirs === undefined ? Number.NaN : sign * (theirs - own);
    });
    if (worst === undefined) {
      checks.push(gateCheck(rule, true, `No segment can be compared with ${than} (${rule}).`, Number.NaN, limit));
      return;
    }
    const { segment, by } = worst;
    const own = segment.candidate?.value ?? Number.NaN;
    const numbers = `${title} ${own.toFixed(4)} in ${nameOf(segment)} is worse than ${than} by ${by.toFixed(4)}`;
    const sentence =
      by <= limit
        ? `No segment is worse than ${than} by more than ${limit}: the worst is ${nameOf(segment)}, by ${by.toFixed(4)}.`
        : `${numbers}; at most ${limit} is allowed (${rule}).`;
    checks.push(gateCheck(rule, by <= limit, sentence, by, limit));
  };
  if (gates?.maxSegmentLoss !== undefined) {
    check("max_segment_loss", gates.maxSegmentLoss, "the champion there", ({ champion }) => champion?.value);
  }
  if (gates?.maxSegmentGap !== undefined) {
    check("max_segment_gap", gates.maxSegmentGap, "over all rows", () => candidate[key]);
  }
  return checks;
}

const SHOWN = 3;

/** Names the segments in which the app's metric is worst; nothing without segments. */
export function worstSegmentsSentence({
  metric,
  segments,
}: Pick<GateInput, "metric" | "segments">): string | undefined {
  const { title, higherIsBetter } = metricDefinition(metric);
  const sign = higherIsBetter ? 1 : -1;
  const known = segments.filter(({ candidate }) => Number.isFinite(candidate?.value));
  const sorted = known.toSorted((a, b) => sign * ((a.candidate?.value ?? 0) - (b.candidate?.value ?? 0)));
  if (sorted.length < 2) return undefined;
  const list = sorted
    .slice(0, SHOWN)
    .map(
      (segment) => `${nameOf(segment)} ${(segment.candidate?.value ?? Number.NaN).toFixed(4)} (${segment.rows} rows)`,
    );
  return `Of ${known.length} segments, ${title} is worst in ${list.join(", ")}.`;
}

/** `origin ORD` */
export const nameOf = ({ by, segment }: Pick<SegmentEvaluation, "by" | "segment">): string => `${by} ${segment}`;

function worstBy(
  segments: readonly SegmentEvaluation[],
  lossOf: (segment: SegmentEvaluation) => number,
): { segment: SegmentEvaluation; by: number } | undefined {
  let worst: { segment: SegmentEvaluation; by: number } | undefined;
  for (const segment of segments) {
    const by = lossOf(segment);
    if (Number.isFinite(by) && (worst === undefined || by > worst.by)) worst = { segment, by };
  }
  return worst;
}
