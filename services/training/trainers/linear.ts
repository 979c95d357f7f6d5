import { addLinear } from "../export/linear.ts";
import { checkLinearParameters, LINEAR_DEFAULTS, type LinearModel, scoreLinear } from "../linear/linearModel.ts";
import { trainLinearRegression } from "../linear/linearRegression.ts";
import { trainLogistic } from "../linear/logistic.ts";
import { trainSoftmax } from "../linear/softmax.ts";
import type { Fitted, Trainer, TrainerOptions, TrainerRows } from "./trainer.ts";
import { withDefaults } from "./trainer.ts";

/** Logistic, softmax or linear regression, by the task. */
export const fitLinear: Trainer = (rows, options) => {
  const { onProgress } = options;
  const all = withDefaults(LINEAR_DEFAULTS, options.parameters);
  checkLinearParameters(all);
  const model = modelOf(rows, options);
  onProgress?.(1, "linear model");
  const fitted: Fitted = {
    name: rows.task.kind === "regression" ? "linear" : "logistic",
    takesCodes: true,
    score: (columns) => scoreLinear(model, columns),
    addScores: (graph, columns) => addLinear(graph, columns, model),
    calibrates: true,
    parameters: { ...all },
    importance: new Float64Array(0),
  };
  return Promise.resolve(fitted);
};

function modelOf({ task, train }: TrainerRows, { parameters, signal }: TrainerOptions): LinearModel {
  const all = withDefaults(LINEAR_DEFAULTS, parameters);
  switch (task.kind) {
    case "binary":
      return trainLogistic(train, all, signal);
    case "multiclass":
      return trainSoftmax(train, task.classes.length, all, signal);
    case "regression":
      return trainLinearRegression(train, all);
  }
}
