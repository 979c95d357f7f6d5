import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { gainCurve, precisionRecallCurve, reliabilityCurve, rocCurve } from "@millrace/metrics";
import {
  type CoverageSlice,
  CoverageSliceSchema,
  type Curve,
  CurveSchema,
  type DecisionEvaluation,
  DecisionEvaluationSchema,
} from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import { type Answers, mostProbable } from "../answers.ts";
import { labelText } from "../task.ts";
import type { AnsweredRows } from "./measures.ts";

/** Of more classes than this, the curves are of the most frequent ones. */
const MAX_CURVE_CLASSES = 5;
const MAX_SLICES = 20;
const MIN_SLICE_ROWS = 50;

/** ROC, precision and recall, reliability and gain: of the positive class, or of each class against the others; of numbers the gain. */
export function curvesOf({ task, labels, answers }: AnsweredRows): Curve[] {
  switch (answers.kind) {
    case "binary":
      return classCurves(labels, answers.probabilities, "");
    case "multiclass": {
      const rows = answers.probabilities.map((_, label) => labels.filter((truth) => truth === label).length);
      const largest = rows.map((count, label) => ({ count, label })).sort((a, b) => b.count - a.count);
      return largest.slice(0, MAX_CURVE_CLASSES).flatMap(({ label }) =>
        classCurves(
          labels.map((truth) => (truth === label ? 1 : 0)),
          answers.probabilities[label] as Float64Array,
          labelText(task, label),
        ),
      );
    }
    case "regression": {
      const least = labels.reduce((min, label) => Math.min(min, label), Infinity);
      // Shares of a sum make sense of amounts that are not negative.
      const amounts = least < 0 ? labels.map((label) => label - least) : labels;
      return [create(CurveSchema, { name: "gain", ...pointsOf(gainCurve(amounts, answers.values)) })];
    }
  }
}

/** @param label the class, or nothing */
function classCurves(labels: Float64Array, probabilities: Float64Array, label: string): Curve[] {
  if (!labels.includes(1) || !labels.includes(0)) return [];
  const curves = {
    roc: rocCurve(labels, probabilities),
    precision_recall: precisionRecallCurve(labels, probabilities),
    reliability: reliabilityCurve(labels, probabilities),
    gain: gainCurve(labels, probabilities),
  };
  return Object.entries(curves).map(([name, points]) =>
    create(CurveSchema, { name, class: label, ...pointsOf(points) }),
  );
}

const pointsOf = ({ x, y, rows = [] }: { x: readonly number[]; y: readonly number[]; rows?: readonly number[] }) => ({
  x: [...x],
  y: [...y],
  rows: rows.map(BigInt),
});

/** What the app decides, or which class is told, and how often that is right. */
export function decisionsOf({ task, labels, answers, policy }: AnsweredRows): DecisionEvaluation[] {
  if (answers.kind === "binary") return bandEvaluations(labels, answers.probabilities, policy);
  if (answers.kind !== "multiclass" || task.kind !== "multiclass") return [];
  const best = mostProbable(answers.probabilities);
  return task.classes.map((name, label) => {
    const told = best.filter((other) => other === label).length;
    const right = labels.filter((truth, row) => truth === label && best[row] === label).length;
    const all = labels.filter((truth) => truth === label).length;
    return create(DecisionEvaluationSchema, {
      name,
      rows: BigInt(told),
      precision: right / told,
      recall: right / all,
      f1: (2 * right) / (told + all),
      cost: Number.NaN,
    });
  });
}

function bandEvaluations(
  labels: Float64Array,
  probabilities: Float64Array,
  policy: AnsweredRows["policy"],
): DecisionEvaluation[] {
  const positives = labels.reduce((sum, label) => sum + label, 0);
  return policy.bands.map(({ decision, lower }, band) => {
    const rows: number[] = [];
    let told = 0;
    let right = 0;
    for (let row = 0; row < labels.length; row += 1) {
      const probability = probabilities[row] as number;
      if (policy.bandOf(probability) === band) rows.push(row);
      if (probability < lower) continue;
      told += 1;
      right += labels[row] as number;
    }
    const inBand = rows.reduce((sum, row) => sum + (labels[row] as number), 0);
    const cost = rows.reduce((sum, row) => sum + policy.costOf(band, labels[row] as number), 0) / rows.length;
    return create(DecisionEvaluationSchema, {
      name: decision,
      from: lower,
      rows: BigInt(rows.length),
      precision: inBand / rows.length,
      recall: right / positives,
      f1: (2 * right) / (told + positives),
      cost: policy.hasCosts ? cost : Number.NaN,
    });
  });
}

/** Rows by true class and most probable class. */
export function confusionOf({ labels, answers }: AnsweredRows): bigint[] {
  if (answers.kind !== "multiclass") return [];
  const classes = answers.probabilities.length;
  const best = mostProbable(answers.probabilities);
  const counts = new Float64Array(classes * classes);
  for (let row = 0; row < labels.length; row += 1) {
    const cell = (labels[row] as number) * classes + (best[row] as number);
    counts[cell] = (counts[cell] as number) + 1;
  }
  return Array.from(counts, BigInt);
}

/** How many truths intervals and sets hold, slice by slice of time: where the world moves away, fewer than stated. */
export function coverageSlices({ labels, answers }: AnsweredRows, occurredAtMs: Float64Array): CoverageSlice[] {
  if (answers.kind === "binary") return [];
  const slices = Math.max(1, Math.min(MAX_SLICES, Math.floor(labels.length / MIN_SLICE_ROWS)));
  return Array.from({ length: slices }, (_, slice) => {
    const begin = Math.floor((slice * labels.length) / slices);
    const end = Math.floor(((slice + 1) * labels.length) / slices);
    let covered = 0;
    let size = 0;
    for (let row = begin; row < end; row += 1) {
      covered += Number(holdsTruth(answers, row, labels[row] as number));
      size += sizeOf(answers, row);
    }
    return create(CoverageSliceSchema, {
      from: timestampFromMs(occurredAtMs[begin] as number),
      to: timestampFromMs(occurredAtMs[end - 1] as number),
      rows: BigInt(end - begin),
      covered: covered / (end - begin),
      size: size / (end - begin),
    });
  });
}

type WithSets = Exclude<Answers, { kind: "binary" }>;

const holdsTruth = (answers: WithSets, row: number, label: number): boolean =>
  answers.kind === "multiclass"
    ? answers.sets[label]?.[row] === 1
    : label >= (answers.lower[row] as number) && label <= (answers.upper[row] as number);

const sizeOf = (answers: WithSets, row: number): number =>
  answers.kind === "multiclass"
    ? answers.sets.reduce((sum, set) => sum + (set[row] as number), 0)
    : (answers.upper[row] as number) - (answers.lower[row] as number);
