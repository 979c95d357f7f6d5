import { create } from "@bufbuild/protobuf";
import {
  type DistributionBins,
  type LabelSignal,
  LabelSignalSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";
import { binOf } from "./distribution.ts";

/** Values are told apart as finely as this, and no finer than so many labelled rows for each, or chance would rank them. */
const MAX_GROUPS = 32;
const MIN_GROUP_ROWS = 20;

/**
 * What a column alone tells about the label. The groups of values are ranked by their share of positives in one half of the rows, and this
 * ranking is judged on the other half (two-fold cross-fitting), so that noise is not taken for a signal, and any shape of dependence is seen.
 *
 * @param values NaN is missing
 * @param labels NaN while not known; above 0.5 is positive
 */
export function labelSignal(values: Float64Array, labels: Float64Array, bins: DistributionBins): LabelSignal {
  const labelled = labels.reduce((count, label) => count + (Number.isNaN(label) ? 0 : 1), 0);
  const groups = groupsOf(bins, Math.max(2, Math.min(MAX_GROUPS, Math.floor(labelled / MIN_GROUP_ROWS))));
  const width = (groups.at(-1) ?? -1) + 2;
  const halves = [tally(width), tally(width)] as const;
  const missing = { labelled: 0, unlabelled: 0 };
  let number = 0;
  for (const [row, value] of values.entries()) {
    const label = labels[row] as number;
    const absent = Number.isNaN(value);
    if (Number.isNaN(label)) {
      missing.unlabelled += Number(absent);
      continue;
    }
    missing.labelled += Number(absent);
    const group = absent ? width - 1 : (groups[Math.max(0, binOf(bins, value))] as number);
    const half = halves[number % 2] as Tally;
    const side = label > 0.5 ? half.positive : half.negative;
    side[group] = (side[group] as number) + 1;
    number += 1;
  }
  return create(LabelSignalSchema, {
    auc: (aucOf(halves[0], halves[1]) + aucOf(halves[1], halves[0])) / 2,
    missingAuc: missingAuc(halves[0], halves[1]),
    missingWhenLabelled: missing.labelled / labelled,
    missingWhenUnlabelled: missing.unlabelled / (values.length - labelled),
  });
}

/** Labelled rows by group of values; the last group is of missing values. */
interface Tally {
  readonly positive: Float64Array;
  readonly negative: Float64Array;
}

const tally = (width: number): Tally => ({ positive: new Float64Array(width), negative: new Float64Array(width) });

const sum = (values: Float64Array): number => values.reduce((total, value) => total + value, 0);

/** The group of each bin: neighbours together, about as many rows in each. */
function groupsOf({ rows }: DistributionBins, groups: number): number[] {
  const total = rows.reduce((count, ofBin) => count + Number(ofBin), 0);
  let before = 0;
  let group = -1;
  let quota = -1;
  return rows.map((ofBin) => {
    const wanted = Math.floor((before / total) * groups);
    before += Number(ofBin);
    if (wanted !== quota) group += 1;
    quota = wanted;
    return group;
  });
}

/** Ranks the groups by `teacher`, and judges by `judge`. */
function aucOf(teacher: Tally, judge: Tally): number {
  const base = sum(teacher.positive) / (sum(teacher.positive) + sum(teacher.negative));
  const order = Array.from(teacher.positive, (positive, group) => ({
    group,
    // A group of few rows is held to be like all rows.
    rate: (positive + base) / (positive + (teacher.negative[group] as number) + 1),
  })).sort((left, right) => left.rate - right.rate);
  return areaUnder(
    order.map(({ group }) => judge.positive[group] as number),
    order.map(({ group }) => judge.negative[group] as number),
  );
}

function missingAuc(one: Tally, other: Tally): number {
  const last = one.positive.length - 1;
  const both = (side: keyof Tally): number[] => {
    const absent = (one[side][last] as number) + (other[side][last] as number);
    return [sum(one[side]) + sum(other[side]) - absent, absent];
  };
  const area = areaUnder(both("positive"), both("negative"));
  return Math.max(area, 1 - area);
}

/** Area under the ROC curve of groups in ascending order of score, rows within a group tied; NaN when a class is absent. */
function areaUnder(positive: readonly number[], negative: readonly number[]): number {
  let negativesBelow = 0;
  let wins = 0;
  let positives = 0;
  for (let group = 0; group < positive.length; group += 1) {
    wins += (positive[group] as number) * (negativesBelow + (negative[group] as number) / 2);
    negativesBelow += negative[group] as number;
    positives += positive[group] as number;
  }
  return wins / (positives * negativesBelow);
}
