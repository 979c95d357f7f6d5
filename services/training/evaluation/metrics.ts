import { Metric } from "@millrace/proto/millrace/app/v1/app_pb.ts";

/** A model's measures on the holdout, by name: `auc`, `log_loss`, `rmse` … and `rows`. */
export type Metrics = Readonly<Record<string, number>>;

export interface MetricDefinition {
  /** Its name in `Metrics`. */
  readonly key: string;
  readonly title: string;
  readonly higherIsBetter: boolean;
}

const DEFINITIONS: readonly MetricDefinition[] = [
  { key: "auc", title: "AUC", higherIsBetter: true },
  { key: "log_loss", title: "log loss", higherIsBetter: false },
  { key: "brier", title: "Brier score", higherIsBetter: false },
  { key: "calibration_error", title: "calibration error", higherIsBetter: false },
  { key: "accuracy", title: "accuracy", higherIsBetter: true },
  { key: "macro_f1", title: "mean F1 of the classes", higherIsBetter: true },
  { key: "cost", title: "mean cost of a decision", higherIsBetter: false },
  { key: "rmse", title: "RMSE", higherIsBetter: false },
  { key: "mae", title: "MAE", higherIsBetter: false },
  { key: "r2", title: "R²", higherIsBetter: true },
  { key: "coverage_error", title: "distance from the stated coverage", higherIsBetter: false },
  { key: "interval_width", title: "mean width of the interval", higherIsBetter: false },
  { key: "set_size", title: "mean number of classes in the set", higherIsBetter: false },
];

const KEYS: Readonly<Partial<Record<Metric, string>>> = {
  [Metric.AUC]: "auc",
  [Metric.LOG_LOSS]: "log_loss",
  [Metric.BRIER]: "brier",
  [Metric.ACCURACY]: "accuracy",
  [Metric.RMSE]: "rmse",
  [Metric.MAE]: "mae",
};

/** How a metric is called in `Metrics` and which direction is better. */
export const metricDefinition = (metric: Metric): MetricDefinition => definitionOf(KEYS[metric] ?? "log_loss");

/** The same by its name; `f1_at_…` for each decision. */
export const definitionOf = (key: string): MetricDefinition =>
  DEFINITIONS.find((definition) => definition.key === key) ?? {
    key,
    title: key.replaceAll("_", " "),
    higherIsBetter: key.startsWith("f1_at_"),
  };

/** By how much the first is better than the second; negative when it is worse, NaN when either is not a number. */
export function advantage(metric: Metric, first: Metrics, second: Metrics): number {
  const { key, higherIsBetter } = metricDefinition(metric);
  const difference = (first[key] ?? Number.NaN) - (second[key] ?? Number.NaN);
  return higherIsBetter ? difference : -difference;
}
