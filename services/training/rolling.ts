import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type RollingFold, RollingFoldSchema } from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import { MillraceError } from "@millrace/runtime";
import type { CandidateRows } from "./candidates.ts";
import type { Dataset } from "./parquet.ts";
import { labelGapMs, type Split, type SplitOptions, splitByTime } from "./split.ts";

/** Trains and judges on the parts of one fold. */
export type TrainFold = (
  split: Split,
) => Promise<{ readonly rows: CandidateRows; readonly metrics: Record<string, number> }>;

/**
 * Rolling-origin evaluation (Tashman, 2000): the same way of training at earlier times, each knowing only what was known then, and judged
 * on the rows that came next. The first fold ends where the holdout begins, each further one where the one before it begins to judge.
 *
 * @param first the split that the model itself is made by
 * @returns the folds, oldest first; fewer than asked for where history is too short
 */
export async function rollingFolds(
  { occurredAtMs, labels }: Pick<Dataset, "occurredAtMs" | "labels">,
  options: SplitOptions,
  first: Split,
  count: number,
  train: TrainFold,
): Promise<RollingFold[]> {
  const gapMs = labelGapMs(occurredAtMs, labels, options);
  const folds: RollingFold[] = [];
  let split = first;
  for (let fold = 0; fold < count; fold += 1) {
    const asOfMs = occurredAtMs[split.holdout[0] as number] as number;
    // What came later was not known; nor were the labels of the newest rows.
    const known = labels.map((label, row) => ((occurredAtMs[row] as number) < asOfMs - gapMs ? label : Number.NaN));
    try {
      split = splitByTime(occurredAtMs, known, { ...options, asOfMs, waitMs: gapMs });
      const { rows, metrics } = await train(split);
      const timeOf = (row: number | undefined): number => occurredAtMs[row as number] as number;
      folds.unshift(
        create(RollingFoldSchema, {
          from: timestampFromMs(timeOf(split.holdout[0])),
          to: timestampFromMs(timeOf(split.holdout.at(-1))),
          trainRows: BigInt(rows.train.labels.length),
          rows: BigInt(rows.holdout.labels.length),
          metrics,
        }),
      );
    } catch (error) {
      if (error instanceof MillraceError && error.code === "failed_precondition") break;
      throw error;
    }
  }
  return folds;
}
