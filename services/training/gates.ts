import { type Gates, Metric } from "@millrace/proto/millrace/app/v1/app_pb.ts";

/** A model's measures on the holdout, by name: `auc`, `log_loss`, `brier`, `calibration_error`, `base_rate`, `rows`. */
export type Metrics = Readonly<Record<string, number>>;

/** The champion on the same rows, or why it could not be asked. */
export type ChampionResult =
  | { readonly kind: "none" }
  | { readonly kind: "measured"; readonly number: number; readonly metrics: Metrics }
  | { readonly kind: "unusable"; readonly number: number; readonly reason: string };

export interface GateResult {
  readonly accepted: boolean;
  /** One sentence per gate, with its numbers. */
  readonly verdict: readonly string[];
}

interface MetricDefinition {
  readonly key: string;
  readonly title: string;
  readonly higherIsBetter: boolean;
}

const METRICS: Readonly<Partial<Record<Metric, MetricDefinition>>> = {
  [Metric.AUC]: { key: "auc", title: "AUC", higherIsBetter: true },
  [Metric.LOG_LOSS]: { key: "log_loss", title: "log loss", higherIsBetter: false },
  [Metric.BRIER]: { key: "brier", title: "Brier score", higherIsBetter: false },
};

/** How a metric is called in `Metrics` and which direction is better. */
export const metricDefinition = (metric: Metric): MetricDefinition =>
  METRICS[metric] ?? (METRICS[Metric.LOG_LOSS] as MetricDefinition);

/** By how much the first is better than the second; negative when it is worse, NaN when either is not a number. */
export function advantage(metric: Metric, first: Metrics, second: Metrics): number {
  const { key, higherIsBetter } = metricDefinition(metric);
  const difference = (first[key] ?? Number.NaN) - (second[key] ?? Number.NaN);
  return higherIsBetter ? difference : -difference;
}

/**
 * Decides whether a candidate becomes the champion: it must reach the app's minimums, and on the same rows beat the champion by
 * more than `tolerance`. Anything less is a tie, and a tie keeps the champion. A champion whose artefact cannot be run is no
 * obstacle.
 */
export function passGates(
  gates: Gates | undefined,
  metric: Metric,
  candidate: Metrics,
  champion: ChampionResult,
): GateResult {
  const checks = [...minimums(gates, candidate), against(metric, gates?.tolerance ?? 0, candidate, champion)];
  return { accepted: checks.every((check) => check.passed), verdict: checks.map((check) => check.sentence) };
}

interface Check {
  readonly passed: boolean;
  readonly sentence: string;
}

function minimums(gates: Gates | undefined, candidate: Metrics): Check[] {
  const checks: Check[] = [];
  const minRows = gates?.minRows ?? 0;
  const rows = candidate["rows"] ?? 0;
  if (minRows > 0) {
    checks.push(
      rows >= minRows
        ? pass(`The holdout has ${rows} rows; at least ${minRows} are asked for.`)
        : fail(`The holdout has only ${rows} rows; at least ${minRows} are asked for (min_rows).`),
    );
  }
  if (gates?.minAuc !== undefined) checks.push(atLeast("AUC", candidate["auc"], gates.minAuc, "min_auc"));
  if (gates?.maxLogLoss !== undefined) {
    checks.push(atMost("Log loss", candidate["log_loss"], gates.maxLogLoss, "max_log_loss"));
  }
  if (gates?.maxCalibrationError !== undefined) {
    const { maxCalibrationError } = gates;
    checks.push(
      atMost("Calibration error", candidate["calibration_error"], maxCalibrationError, "max_calibration_error"),
    );
  }
  return checks;
}

const pass = (sentence: string): Check => ({ passed: true, sentence });
const fail = (sentence: string): Check => ({ passed: false, sentence });

function atLeast(title: string, value = Number.NaN, limit: number, rule: string): Check {
  return value >= limit
    ? pass(`${title} ${show(value)} reaches the minimum of ${limit}.`)
    : fail(`${title} ${show(value)} is below the minimum of ${limit} (${rule}).`);
}

function atMost(title: string, value = Number.NaN, limit: number, rule: string): Check {
  return value <= limit
    ? pass(`${title} ${show(value)} is within the maximum of ${limit}.`)
    : fail(`${title} ${show(value)} is above the maximum of ${limit} (${rule}).`);
}

function against(metric: Metric, tolerance: number, candidate: Metrics, champion: ChampionResult): Check {
  const { key, title } = metricDefinition(metric);
  const own = candidate[key] ?? Number.NaN;
  if (!Number.isFinite(own)) return fail(`Its ${title} could not be calculated.`);
  if (champion.kind === "none") return pass("There is no champion yet: the first model that passes its gates serves.");
  if (champion.kind === "unusable") {
    return pass(
      `Champion ${champion.number} could not be run on the same rows, so it does not stand in the way: ${champion.reason}`,
    );
  }
  const difference = advantage(metric, candidate, champion.metrics);
  const numbers = `${title} ${show(own)} against champion ${champion.number}'s ${show(champion.metrics[key] ?? Number.NaN)} on the same ${candidate["rows"] ?? 0} rows`;
  const margin = `tolerance ${tolerance}`;
  if (!Number.isFinite(difference)) return pass(`${numbers}: the champion gives no usable answer.`);
  if (difference > tolerance) return pass(`${numbers}: better by ${show(difference)} (${margin}).`);
  if (difference < -tolerance)
    return fail(`${numbers}: worse by ${show(-difference)} (${margin}); the champion stays.`);
  return fail(`${numbers}: a tie (${margin}); the champion stays.`);
}

const show = (value: number): string => (Number.isFinite(value) ? value.toFixed(4) : "not a number");
