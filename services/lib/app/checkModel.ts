import {
  Algorithm,
  AlgorithmSchema,
  type App,
  type Gates,
  Metric,
  MetricSchema,
  type Model,
  Task,
  TaskSchema,
} from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { formatDuration } from "./duration.ts";
import { enumName } from "./enumName.ts";
import { eventTypeOf } from "./expressionsOfApp.ts";
import { joinPath, listNames, type Problems, show } from "./problems.ts";
import { durationToMs } from "./tile.ts";

const MINUTE_MS = 60_000;
/** Of more, an evaluation does not tell it. */
const MAX_AUC_CLASSES = 50;

const ALGORITHMS: Readonly<Partial<Record<Task, readonly Algorithm[]>>> = {
  [Task.BINARY]: [Algorithm.GBDT, Algorithm.LOGISTIC, Algorithm.BASELINE],
  [Task.MULTICLASS]: [Algorithm.GBDT, Algorithm.LOGISTIC, Algorithm.BASELINE],
  [Task.REGRESSION]: [Algorithm.GBDT, Algorithm.LINEAR, Algorithm.BASELINE],
};

const CLASS_METRICS = [Metric.LOG_LOSS, Metric.AUC, Metric.BRIER, Metric.ACCURACY];

const METRICS: Readonly<Partial<Record<Task, readonly Metric[]>>> = {
  [Task.BINARY]: CLASS_METRICS,
  [Task.MULTICLASS]: CLASS_METRICS,
  [Task.REGRESSION]: [Metric.RMSE, Metric.MAE],
};

/** Checks what the model section says against the task and the features. */
export function checkModel(app: App, problems: Problems): void {
  const { model } = app;
  if (model === undefined) return;
  checkTask(model, problems);
  checkColumns(app, model, problems);
  checkSearch(model, problems);
  if (model.gates !== undefined) checkGates(app, model, model.gates, problems);
  const length = (name: string, value: number | undefined): void => {
    if (value === undefined || value >= MINUTE_MS) return;
    problems.add(`model.${name}`, "out_of_range", `must be at least 1m, not ${formatDuration(value)}`);
  };
  length("history", durationToMs(model.history));
  length("half_life", durationToMs(model.halfLife));
  length("time_limit", durationToMs(model.timeLimit));
  model.external.forEach(({ name }, index) => {
    if (model.external.findIndex((other) => other.name === name) < index)
      problems.add(`model.external[${index}].name`, "repeated", `there are two external trainers called ${show(name)}`);
  });
}

function checkTask({ task, classes, candidates, metric, coverage }: Model, problems: Problems): void {
  const name = enumName(TaskSchema, task);
  candidates.forEach((candidate, index) => {
    const allowed = ALGORITHMS[task];
    if (allowed === undefined || candidate === Algorithm.UNSPECIFIED || allowed.includes(candidate)) return;
    const others = listNames(allowed.map((algorithm) => enumName(AlgorithmSchema, algorithm)));
    const title = enumName(AlgorithmSchema, candidate);
    problems.add(`model.candidates[${index}]`, "does_not_fit", `${title} is not for ${name}; it has ${others}`);
  });
  const metrics = METRICS[task];
  if (metrics !== undefined && metric !== Metric.UNSPECIFIED && !metrics.includes(metric)) {
    const others = listNames(metrics.map((other) => enumName(MetricSchema, other)));
    problems.add(
      "model.metric",
      "does_not_fit",
      `${enumName(MetricSchema, metric)} is not for ${name}; it has ${others}`,
    );
  }
  if (metric === Metric.AUC && classes.length > MAX_AUC_CLASSES) {
    problems.add(
      "model.metric",
      "does_not_fit",
      `AUC is for at most ${MAX_AUC_CLASSES} classes, not ${classes.length}; take LOG_LOSS`,
    );
  }
  if (coverage !== 0 && task === Task.BINARY) {
    problems.add(
      "model.coverage",
      "does_not_fit",
      "BINARY answers a probability, not a set or an interval; leave it out",
    );
  }
  if (task !== Task.MULTICLASS) {
    if (classes.length > 0) problems.add("model.classes", "does_not_fit", `${name} has no classes; leave them out`);
    return;
  }
  if (classes.length < 2) {
    const advice = "name the values of the label, two at least, such as [calm, busy, full]";
    problems.add("model.classes", "missing", `${advice}, not ${show(classes)}`);
  }
  classes.forEach((label, index) => {
    if (label === "") problems.add(`model.classes[${index}]`, "empty", "a class needs a name");
    if (classes.indexOf(label) < index)
      problems.add(`model.classes[${index}]`, "repeated", `${show(label)} stands twice`);
  });
}

/** Everything that names a feature names one that is there. */
function checkColumns(app: App, model: Model, problems: Problems): void {
  const { categorical, monotone, segments, baseline, task } = model;
  const isFeature = (name: string): boolean => Object.hasOwn(app.features, name);
  const known = (path: string, name: string): void => {
    if (isFeature(name)) return;
    const all = listNames(Object.keys(app.features));
    problems.add(path, "unknown_feature", `${show(name)} is no feature of this app; allowed: ${all}`);
  };
  categorical.forEach((name, index) => known(`model.categorical[${index}]`, name));
  for (const name of Object.keys(monotone)) {
    const path = joinPath("model.monotone", name);
    known(path, name);
    if (categorical.includes(name)) {
      problems.add(
        path,
        "contradiction",
        `${name} is categorical, so its values have no order; leave it out of one of the two`,
      );
    } else if (task === Task.MULTICLASS) {
      problems.add(path, "does_not_fit", "of several classes none is more than another; leave it out");
    }
  }
  const fields = eventTypeOf(app, app.prediction?.at ?? "")?.fields ?? {};
  segments.forEach((name, index) => {
    if (isFeature(name) || Object.hasOwn(fields, name)) return;
    const all = listNames([...Object.keys(app.features), ...Object.keys(fields)]);
    const rule = `${show(name)} is no feature of this app, and no field of ${app.prediction?.at}`;
    problems.add(`model.segments[${index}]`, "unknown_name", `${rule}; allowed: ${all}`);
  });
  const { case: kind, value = "" } = baseline?.kind ?? {};
  if (baseline !== undefined && kind === undefined) {
    problems.add("model.baseline", "missing", "name a feature: last_value: <feature>, or segment_mean: <feature>");
  } else if (kind === "lastValue") {
    known("model.baseline.last_value", value);
    if (task === Task.MULTICLASS || categorical.includes(value)) {
      problems.add(
        "model.baseline.last_value",
        "does_not_fit",
        `${show(value)} would have to be a number like the label; take segment_mean`,
      );
    }
  } else if (kind === "segmentMean") known("model.baseline.segment_mean", value);
}

function checkSearch({ search }: Model, problems: Problems): void {
  if (search === undefined) return;
  const time = durationToMs(search.time);
  if (search.trials === 0 && time === undefined) {
    problems.add("model.search", "missing", "say when it ends: trials: 20, or time: 10m");
  }
  if (time !== undefined && time < 1_000) {
    problems.add("model.search.time", "out_of_range", `must be at least 1s, not ${formatDuration(time)}`);
  }
}

/** For each gate of a metric: the field, the tasks that have the metric, and the range of its values. */
const GATES: readonly (readonly [name: string, keyof Gates, tasks: readonly Task[], low: number, high: number])[] = [
  ["min_auc", "minAuc", [Task.BINARY, Task.MULTICLASS], 0, 1],
  ["max_log_loss", "maxLogLoss", [Task.BINARY, Task.MULTICLASS], 0, Infinity],
  ["max_calibration_error", "maxCalibrationError", [Task.BINARY, Task.MULTICLASS], 0, 1],
  ["max_brier", "maxBrier", [Task.BINARY, Task.MULTICLASS], 0, 2],
  ["min_accuracy", "minAccuracy", [Task.BINARY, Task.MULTICLASS], 0, 1],
  ["max_rmse", "maxRmse", [Task.REGRESSION], 0, Infinity],
  ["max_mae", "maxMae", [Task.REGRESSION], 0, Infinity],
  ["min_r2", "minR2", [Task.REGRESSION], -Infinity, 1],
  ["max_coverage_error", "maxCoverageError", [Task.MULTICLASS, Task.REGRESSION], 0, 1],
  ["max_cost", "maxCost", [Task.BINARY], -Infinity, Infinity],
  ["tolerance", "tolerance", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION], 0, Infinity],
  ["max_segment_loss", "maxSegmentLoss", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION], 0, Infinity],
  ["max_segment_gap", "maxSegmentGap", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION], 0, Infinity],
  ["max_row_microseconds", "maxRowMicroseconds", [Task.BINARY, Task.MULTICLASS, Task.REGRESSION], 0, Infinity],
];

function checkGates(app: App, { task, segments }: Model, gates: Gates, problems: Problems): void {
  for (const [name, key, tasks, low, high] of GATES) {
    const value = gates[key] as number | undefined;
    if (value === undefined) continue;
    const path = `model.gates.${name}`;
    if (task !== Task.UNSPECIFIED && !tasks.includes(task)) {
      problems.add(path, "does_not_fit", `${enumName(TaskSchema, task)} has no such metric; leave it out`);
    } else if (!(value >= low && value <= high)) {
      const range =
        high === Infinity ? `at least ${low}` : low === -Infinity ? `at most ${high}` : `from ${low} to ${high}`;
      problems.add(path, "out_of_range", `must be ${range}, not ${value}`);
    }
  }
  if (gates.confidence !== 0 && gates.confidence < 0.5) {
    problems.add("model.gates.confidence", "out_of_range", `must be from 0.5 up to 1, not ${gates.confidence}`);
  }
  if (gates.maxCost !== undefined && app.serving?.decisions.some(({ cost }) => cost !== undefined) !== true) {
    problems.add("model.gates.max_cost", "no_costs", "no decision has a cost; name them in serving.decisions");
  }
  for (const [name, value] of [
    ["max_segment_loss", gates.maxSegmentLoss],
    ["max_segment_gap", gates.maxSegmentGap],
  ] as const) {
    if (value === undefined || segments.length > 0) continue;
    problems.add(
      `model.gates.${name}`,
      "no_segments",
      "there are no segments; name features or fields in model.segments",
    );
  }
}
