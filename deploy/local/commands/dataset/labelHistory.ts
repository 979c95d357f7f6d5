import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { LabelStatistics } from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";

/** What came in one stretch of time. Shares are NaN where there is nothing to take a share of. */
export interface HistoryBar {
  readonly fromMs: number;
  rows: number;
  labelled: number;
  positive: number;
  pending: number;
}

/** A dataset's rows and labels over time. */
export interface LabelHistory {
  /** Of a bar. */
  readonly lengthMs: number;
  /** All bars from the first to the last, those without rows too. */
  readonly bars: readonly HistoryBar[];
}

/** At most so many bars, of one or several of the dataset's slices. */
export function labelHistory({ slices, sliceLength }: LabelStatistics, maxBars: number): LabelHistory {
  const sliceMs = sliceLength === undefined ? 0 : Number(sliceLength.seconds) * 1_000;
  const times = slices.map(({ from }) => (from === undefined ? 0 : timestampMs(from)));
  const first = times[0];
  const last = times.at(-1);
  if (first === undefined || last === undefined || sliceMs === 0) return { lengthMs: sliceMs, bars: [] };
  const perBar = Math.ceil(((last - first) / sliceMs + 1) / maxBars);
  const lengthMs = sliceMs * perBar;
  const bars = Array.from({ length: Math.floor((last - first) / lengthMs) + 1 }, (_, index): HistoryBar => {
    return { fromMs: first + index * lengthMs, rows: 0, labelled: 0, positive: 0, pending: 0 };
  });
  slices.forEach(({ rows, labelled, positive, pending }, index) => {
    const bar = bars[Math.floor(((times[index] as number) - first) / lengthMs)] as HistoryBar;
    bar.rows += Number(rows);
    bar.labelled += Number(labelled);
    bar.positive += Number(positive);
    bar.pending += Number(pending);
  });
  return { lengthMs, bars };
}
