import {
  type Blocks,
  type DrawnMeasure,
  EPSILON,
  equalMassBins,
  measureAreaUnderRoc,
  measureBySums,
} from "@millrace/metrics";
import { type Answers, mostProbable } from "../answers.ts";
import type { Task } from "../task.ts";
import type { DecisionPolicy } from "./decisionPolicy.ts";

/** Rows with their truth, and what a model answered. */
export interface AnsweredRows {
  readonly task: Task;
  readonly labels: Float64Array;
  readonly answers: Answers;
  /** Of binary apps. */
  readonly policy: DecisionPolicy;
  /** Share of the truths that intervals and sets state to hold. */
  readonly coverage: number;
}

/** Every measure of the task, by the names of `Metrics`. */
export function measuresOf(rows: AnsweredRows, blocks: Blocks): ReadonlyMap<string, DrawnMeasure> {
  const { answers } = rows;
  switch (answers.kind) {
    case "binary":
      return binaryMeasures(rows, answers.probabilities, blocks);
    case "multiclass":
      return classMeasures(rows, answers, blocks);
    case "regression":
      return numberMeasures(rows, answers, blocks);
  }
}

const BINS = 15;

/** The mean over rows of a term. */
function meanOf(blocks: Blocks, term: (row: number) => number): DrawnMeasure {
  return measureBySums(
    blocks,
    1,
    (row, sums) => add(sums, 0, term(row)),
    ([sum = 0], rows) => sum / rows,
  );
}

const add = (sums: Float64Array, index: number, value: number): void => {
  sums[index] = (sums[index] as number) + value;
};

/** -ln of the probability that the truth was given. */
const surprise = (probability: number): number => -Math.log(Math.min(Math.max(probability, EPSILON), 1 - EPSILON));

/** Bins are those of the rows as they are; a sample weighs them anew. */
function calibrationError(blocks: Blocks, labels: Float64Array, probabilities: Float64Array): DrawnMeasure {
  const binOf = equalMassBins(probabilities, BINS);
  return measureBySums(
    blocks,
    BINS,
    (row, sums) => add(sums, binOf[row] as number, (probabilities[row] as number) - (labels[row] as number)),
    (sums, rows) => sums.reduce((sum, difference) => sum + Math.abs(difference), 0) / rows,
  );
}

function binaryMeasures(
  { labels, policy }: AnsweredRows,
  probabilities: Float64Array,
  blocks: Blocks,
): Map<string, DrawnMeasure> {
  const p = (row: number): number => probabilities[row] as number;
  const y = (row: number): number => labels[row] as number;
  const measures = new Map<string, DrawnMeasure>([
    ["auc", measureAreaUnderRoc(blocks, labels, probabilities)],
    ["log_loss", meanOf(blocks, (row) => surprise(y(row) === 1 ? p(row) : 1 - p(row)))],
    ["brier", meanOf(blocks, (row) => (p(row) - y(row)) ** 2)],
    ["calibration_error", calibrationError(blocks, labels, probabilities)],
    ["accuracy", meanOf(blocks, (row) => (p(row) >= 0.5 === (y(row) === 1) ? 1 : 0))],
  ]);
  for (const { decision, lower } of policy.bands) {
    // Everything is at least 0, and a band without a name is no decision.
    if (decision === "" || lower <= 0) continue;
    measures.set(
      `f1_at_${decision}`,
      f1(
        blocks,
        (row) => p(row) >= lower,
        (row) => y(row) === 1,
      ),
    );
  }
  if (policy.hasCosts)
    measures.set(
      "cost",
      meanOf(blocks, (row) => policy.costOf(policy.bandOf(p(row)), y(row))),
    );
  return measures;
}

/** 2 true positives / (2 true positives + false positives + false negatives). */
function f1(blocks: Blocks, told: (row: number) => boolean, is: (row: number) => boolean): DrawnMeasure {
  return measureBySums(
    blocks,
    2,
    (row, sums) => {
      const [isTold, isTrue] = [told(row), is(row)];
      add(sums, 0, isTold && isTrue ? 2 : 0);
      add(sums, 1, Number(isTold) + Number(isTrue));
    },
    ([both = 0, all = 0]) => both / all,
  );
}

function classMeasures(
  { labels, coverage }: AnsweredRows,
  { probabilities, sets }: Answers & { kind: "multiclass" },
  blocks: Blocks,
): Map<string, DrawnMeasure> {
  const classes = probabilities.length;
  const best = mostProbable(probabilities);
  const p = (label: number, row: number): number => probabilities[label]?.[row] as number;
  const right = labels.map((label, row) => (label === best[row] ? 1 : 0));
  const ofBest = best.map((label, row) => p(label, row));
  const brier = (row: number): number =>
    probabilities.reduce((sum, own, label) => sum + ((own[row] as number) - (labels[row] === label ? 1 : 0)) ** 2, 0);
  const covered = meanOf(blocks, (row) => sets[labels[row] as number]?.[row] as number);
  return new Map<string, DrawnMeasure>([
    ["log_loss", meanOf(blocks, (row) => surprise(p(labels[row] as number, row)))],
    ["accuracy", meanOf(blocks, (row) => right[row] as number)],
    ["macro_f1", macroF1(blocks, labels, best, classes)],
    ["auc", meanAreaUnderRoc(blocks, labels, probabilities)],
    ["brier", meanOf(blocks, brier)],
    // Of the most probable class: how sure, and how often right.
    ["calibration_error", calibrationError(blocks, right, ofBest)],
    ["coverage", covered],
    ["coverage_error", (times) => Math.abs(covered(times) - coverage)],
    ["set_size", meanOf(blocks, (row) => sets.reduce((sum, set) => sum + (set[row] as number), 0))],
  ]);
}

/** The mean of the classes' F1; a class that is neither there nor told counts for nothing. */
function macroF1(blocks: Blocks, labels: Float64Array, best: Float64Array, classes: number): DrawnMeasure {
  return measureBySums(
    blocks,
    2 * classes,
    (row, sums) => {
      const [label, told] = [labels[row] as number, best[row] as number];
      if (label === told) add(sums, label, 2);
      add(sums, classes + label, 1);
      add(sums, classes + told, 1);
    },
    (sums) => {
      const present = Array.from({ length: classes }, (_, label) => label).filter(
        (label) => (sums[classes + label] as number) > 0,
      );
      const total = present.reduce(
        (sum, label) => sum + (sums[label] as number) / (sums[classes + label] as number),
        0,
      );
      return total / present.length;
    },
  );
}

/** Of each class against all others, the mean of those that are there. */
function meanAreaUnderRoc(blocks: Blocks, labels: Float64Array, probabilities: readonly Float64Array[]): DrawnMeasure {
  const areas = probabilities.map((own, label) =>
    measureAreaUnderRoc(
      blocks,
      labels.map((truth) => (truth === label ? 1 : 0)),
      own,
    ),
  );
  return (times) => {
    const found = areas.map((area) => area(times)).filter(Number.isFinite);
    return found.reduce((sum, area) => sum + area, 0) / found.length;
  };
}

function numberMeasures(
  { labels, coverage }: AnsweredRows,
  { values, lower, upper }: Answers & { kind: "regression" },
  blocks: Blocks,
): Map<string, DrawnMeasure> {
  const error = (row: number): number => (values[row] as number) - (labels[row] as number);
  const squared = meanOf(blocks, (row) => error(row) ** 2);
  const isInside = (row: number): boolean =>
    (labels[row] as number) >= (lower[row] as number) && (labels[row] as number) <= (upper[row] as number);
  const covered = meanOf(blocks, (row) => Number(isInside(row)));
  // About the first label, so that large labels cost no digits.
  const [center = 0] = labels;
  const r2 = measureBySums(
    blocks,
    3,
    (row, sums) => {
      const label = (labels[row] as number) - center;
      add(sums, 0, error(row) ** 2);
      add(sums, 1, label);
      add(sums, 2, label * label);
    },
    ([errors = 0, sum = 0, squares = 0], rows) => 1 - errors / (squares - (sum * sum) / rows),
  );
  return new Map<string, DrawnMeasure>([
    ["rmse", (times) => Math.sqrt(squared(times))],
    ["mae", meanOf(blocks, (row) => Math.abs(error(row)))],
    ["r2", r2],
    ["bias", meanOf(blocks, error)],
    ["coverage", covered],
    ["coverage_error", (times) => Math.abs(covered(times) - coverage)],
    ["interval_width", meanOf(blocks, (row) => (upper[row] as number) - (lower[row] as number))],
  ]);
}
