import type { Answers } from "./answers.ts";
import { type Calibration, calibrated, fitCalibration, UNCALIBRATED } from "./calibration/calibration.ts";
import {
  type ClassCalibration,
  classProbabilities,
  fitClassCalibration,
  uncalibrated,
} from "./calibration/classCalibration.ts";
import { type IntervalOffsets, intervalOffsets, predictionSets, setThreshold } from "./calibration/conformal.ts";
import type { Scores } from "./gbdt/objective.ts";
import type { Matrix } from "./matrix.ts";
import type { Task } from "./task.ts";

/** A model's last step: what turns scores into answers. */
export type Head =
  | { readonly kind: "binary"; readonly calibration: Calibration }
  | { readonly kind: "multiclass"; readonly calibration: ClassCalibration; readonly threshold: number }
  /** value = center + scale * score; the interval's ends are the value plus the offsets. All are float32 numbers. */
  | ({ readonly kind: "regression" } & LabelScale & IntervalOffsets);

/** Labels of numbers are trained on as (label - center) / scale. */
export interface LabelScale {
  readonly center: number;
  readonly scale: number;
}

export interface HeadRows {
  readonly task: Task;
  /** Of the calibration rows. */
  readonly scores: Scores;
  /** Rows that nothing but the calibration sees, in order of time. */
  readonly rows: Pick<Matrix, "labels" | "weights">;
  readonly labelScale: LabelScale;
  /** Share of the truths that intervals and sets have to hold. */
  readonly coverage: number;
  /** Whether probabilities may be corrected. */
  readonly calibrates: boolean;
}

/**
 * Fits calibration and conformal intervals or sets. Of several classes, the two use different rows: what made the probabilities good on
 * some rows must not also say how far they can be trusted.
 *
 * @throws `failed_precondition` when there are too few rows for the coverage
 */
export function fitHead({ task, scores, rows, labelScale, coverage, calibrates }: HeadRows): Head {
  switch (task.kind) {
    case "binary": {
      const [own = new Float64Array()] = scores;
      return { kind: "binary", calibration: calibrates ? fitCalibration({ ...rows, scores: own }) : UNCALIBRATED };
    }
    case "multiclass": {
      const [fitting, trusting] = alternate(rows.labels.length);
      const calibration = calibrates
        ? fitClassCalibration(rowsOf(scores, rows, fitting))
        : uncalibrated(task.classes.length);
      const own = rowsOf(scores, rows, trusting);
      const probabilities = classProbabilities(own.scores, calibration);
      const ofTruth = own.labels.map((label, row) => probabilities[label]?.[row] as number);
      return { kind: "multiclass", calibration, threshold: setThreshold(ofTruth, coverage) };
    }
    case "regression": {
      const values = valuesOf(scores, labelScale);
      const residuals = rows.labels.map((label, row) => label - (values[row] as number));
      return { kind: "regression", ...labelScale, ...intervalOffsets(residuals, coverage) };
    }
  }
}

/** The answers to rows of these scores. */
export function answer(head: Head, scores: Scores): Answers {
  switch (head.kind) {
    case "binary":
      return { kind: "binary", probabilities: calibrated(scores[0] as Float64Array, head.calibration) };
    case "multiclass": {
      const probabilities = classProbabilities(scores, head.calibration);
      return { kind: "multiclass", probabilities, sets: predictionSets(probabilities, head.threshold) };
    }
    case "regression": {
      const values = valuesOf(scores, head);
      const lower = values.map((value) => value + head.below);
      const upper = values.map((value) => value + head.above);
      return { kind: "regression", values, lower, upper };
    }
  }
}

const valuesOf = ([scores = new Float64Array()]: Scores, { center, scale }: LabelScale): Float64Array =>
  scores.map((score) => center + scale * score);

const STRETCHES = 20;

/** Rows of every other stretch of time, and the others. */
function alternate(rows: number): [Uint32Array, Uint32Array] {
  const all = Uint32Array.from({ length: rows }, (_, row) => row);
  const isEven = (row: number): boolean => Math.floor((row * STRETCHES) / rows) % 2 === 0;
  return [all.filter(isEven), all.filter((row) => !isEven(row))];
}

function rowsOf(scores: Scores, { labels, weights }: HeadRows["rows"], rows: Uint32Array) {
  const pick = (of: Float64Array): Float64Array => Float64Array.from(rows, (row) => of[row] as number);
  return { scores: scores.map(pick), labels: pick(labels), weights: weights === undefined ? undefined : pick(weights) };
}
