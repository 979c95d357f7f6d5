import { encodeCategories, fitCategories } from "./categories.ts";
import type { Directions } from "./gbdt/grow.ts";
import type { LabelScale } from "./head.ts";
import { baseRate, type Matrix } from "./matrix.ts";
import type { Task } from "./task.ts";
import type { TrainerRows } from "./trainers/trainer.ts";
import type { TrainRequest } from "./trainRequest.ts";

export interface PreparedRows extends TrainerRows {
  readonly labelScale: LabelScale;
}

type Rows = Pick<TrainRequest, "train" | "validation" | "monotone">;

/** Puts codes in the place of categories, fitted on the training rows, and standardises numbers to predict. */
export function prepareRows({ train, validation, monotone }: Rows, task: Task): PreparedRows {
  const { codes, columns } = fitCategories(train, task);
  const labelScale = task.kind === "regression" ? scaleOf(train) : { center: 0, scale: 1 };
  const { center, scale } = labelScale;
  const scaled = (labels: Float64Array): Float64Array =>
    task.kind === "regression" ? labels.map((label) => (label - center) / scale) : labels;
  return {
    task,
    train: { ...train, columns, labels: scaled(train.labels) },
    validation: {
      ...validation,
      columns: encodeCategories(validation.columns, codes),
      labels: scaled(validation.labels),
    },
    codes,
    raw: train.columns,
    monotone: directionsOf(train.featureNames, monotone),
    labelScale,
  };
}

/** Mean and standard deviation, float32 numbers, as the model file holds them. */
function scaleOf(rows: Matrix): LabelScale {
  const center = Math.fround(baseRate(rows));
  const { labels, weights } = rows;
  const squares = {
    labels: labels.map((label) => (label - center) ** 2),
    ...(weights === undefined ? {} : { weights }),
  };
  return { center, scale: Math.fround(Math.sqrt(baseRate(squares))) || 1 };
}

function directionsOf(names: readonly string[], monotone: TrainRequest["monotone"]): Directions | undefined {
  return monotone === undefined ? undefined : names.map((name) => monotone[name] ?? 0);
}
