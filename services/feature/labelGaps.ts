import { timestampMs } from "@bufbuild/protobuf/wkt";
import { durationToMs } from "@millrace/app";
import type { LabelStatistics } from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";

/** A time in which labels are missing. */
export interface LabelGap {
  readonly fromMs: number;
  toMs: number;
  rows: number;
  labelled: number;
}

/** A time with less than half the usual labels has lost them, unless it has so few rows that it may be chance. */
const GAP_OF_USUAL = 0.5;
const DEVIATIONS = 4;

/**
 * Times, neighbouring slices joined, with far fewer labels than usual. Slices in which labels may still come are left out.
 *
 * @returns the usual share of labelled rows, and the gaps in order of time
 */
export function findGaps({ slices, sliceLength }: LabelStatistics): { usual: number; gaps: LabelGap[] } {
  const lengthMs = durationToMs(sliceLength) ?? 0;
  const mature = slices
    .filter(({ pending }) => pending === 0n)
    .map(({ from, rows, labelled }) => ({
      fromMs: from === undefined ? 0 : timestampMs(from),
      rows: Number(rows),
      labelled: Number(labelled),
    }));
  const usual =
    mature.reduce((sum, { labelled }) => sum + labelled, 0) / mature.reduce((sum, { rows }) => sum + rows, 0);
  const gaps: LabelGap[] = [];
  for (const { fromMs, rows, labelled } of mature) {
    // One more than the binomial variance, so that a few rows prove nothing where all are usually labelled.
    const chance = DEVIATIONS * Math.sqrt(rows * usual * (1 - usual) + 1);
    if (labelled >= rows * usual * GAP_OF_USUAL || rows * usual - labelled <= chance) continue;
    const last = gaps.at(-1);
    if (last?.toMs === fromMs) {
      last.toMs += lengthMs;
      last.rows += rows;
      last.labelled += labelled;
    } else gaps.push({ fromMs, toMs: fromMs + lengthMs, rows, labelled });
  }
  return { usual, gaps };
}
