import { create } from "@bufbuild/protobuf";
import type { Estimate } from "@millrace/metrics";
import type { Gates, Metric } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type GateCheck,
  GateCheckSchema,
  type Performance,
  type SegmentEvaluation,
} from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import type { Answers } from "./answers.ts";
import { type Metrics, metricDefinition } from "./evaluation/metrics.ts";
import { segmentGates } from "./segmentGates.ts";

/** The champion on the same rows, or why it could not be asked. */
export type ChampionResult =
  | { readonly kind: "none" }
  | { readonly kind: "measured"; readonly number: number; readonly metrics: Metrics; readonly answers: Answers }
  | { readonly kind: "unusable"; readonly number: number; readonly reason: string };

/** What the gates look at. */
export interface GateInput {
  readonly gates: Gates | undefined;
  readonly metric: Metric;
  /** On the holdout. */
  readonly candidate: Metrics;
  readonly champion: ChampionResult;
  /** By how much the candidate's metric is better than the champion's; its lower end holds with the app's confidence. */
  readonly advantage: Estimate | undefined;
  readonly segments: readonly SegmentEvaluation[];
  /** Absent where it was not measured. */
  readonly performance: Performance | undefined;
  /** About the data. */
  readonly warnings: readonly string[];
}

export interface GateResult {
  readonly accepted: boolean;
  readonly checks: readonly GateCheck[];
  /** One sentence per gate, with its numbers. */
  readonly verdict: readonly string[];
}

export const DEFAULT_CONFIDENCE = 0.95;

/**
 * Decides whether a candidate becomes the champion: it must reach all that the app asks for, and on the same rows beat the champion by
 * more than `tolerance`, and by more than chance would explain. Anything less is a tie, and a tie keeps the champion, or goes to the candidate
 * where the app prefers the newer. A champion whose artefact cannot be run is no obstacle.
 */
export function passGates(input: GateInput): GateResult {
  const checks = [
    ...minimums(input),
    ...limits(input),
    ...segmentGates(input),
    ...warningsGate(input),
    againstChampion(input),
  ];
  return {
    accepted: checks.every((check) => check.passed),
    checks,
    verdict: checks.map((check) => check.sentence),
  };
}

/** A gate that was passed or not. */
export function gateCheck(
  rule: string,
  passed: boolean,
  sentence: string,
  value = Number.NaN,
  limit = Number.NaN,
): GateCheck {
  return create(GateCheckSchema, { rule, passed, value, limit, sentence });
}

/** For each gate of a metric: its rule and field, the metric, its title, and whether it has to reach the limit or to stay within it. */
const METRIC_GATES: readonly (readonly [
  rule: string,
  field: keyof Gates,
  key: string,
  title: string,
  atLeast: boolean,
])[] = [
  ["min_auc", "minAuc", "auc", "AUC", true],
  ["max_log_loss", "maxLogLoss", "log_loss", "Log loss", false],
  ["max_brier", "maxBrier", "brier", "Brier score", false],
  ["max_calibration_error", "maxCalibrationError", "calibration_error", "Calibration error", false],
  ["min_accuracy", "minAccuracy", "accuracy", "Accuracy", true],
  ["max_cost", "maxCost", "cost", "Mean cost of a decision", false],
  ["max_rmse", "maxRmse", "rmse", "RMSE", false],
  ["max_mae", "maxMae", "mae", "MAE", false],
  ["min_r2", "minR2", "r2", "R²", true],
  ["max_coverage_error", "maxCoverageError", "coverage_error", "Distance from the stated coverage", false],
];

function minimums({ gates, candidate }: GateInput): GateCheck[] {
  const checks: GateCheck[] = [];
  const minRows = gates?.minRows ?? 0;
  const rows = candidate["rows"] ?? 0;
  if (minRows > 0) {
    const sentence =
      rows >= minRows
        ? `The holdout has ${rows} rows; at least ${minRows} are asked for.`
        : `The holdout has only ${rows} rows; at least ${minRows} are asked for (min_rows).`;
    checks.push(gateCheck("min_rows", rows >= minRows, sentence, rows, minRows));
  }
  for (const [rule, field, key, title, isMinimum] of METRIC_GATES) {
    const limit = gates?.[field] as number | undefined;
    if (limit === undefined) continue;
    const value = candidate[key] ?? Number.NaN;
    checks.push(isMinimum ? atLeast(rule, title, value, limit) : atMost(rule, title, value, limit));
  }
  return checks;
}

const atLeast = (rule: string, title: string, value: number, limit: number): GateCheck =>
  value >= limit
    ? gateCheck(rule, true, `${title} ${show(value)} reaches the minimum of ${limit}.`, value, limit)
    : gateCheck(rule, false, `${title} ${show(value)} is below the minimum of ${limit} (${rule}).`, value, limit);

const atMost = (rule: string, title: string, value: number, limit: number): GateCheck =>
  value <= limit
    ? gateCheck(rule, true, `${title} ${show(value)} is within the maximum of ${limit}.`, value, limit)
    : gateCheck(rule, false, `${title} ${show(value)} is above the maximum of ${limit} (${rule}).`, value, limit);

/** Of the file and its speed. */
function limits({ gates, performance }: GateInput): GateCheck[] {
  if (performance === undefined) return [];
  const checks: GateCheck[] = [];
  const { artefactBytes, rowMicroseconds, batchRows } = performance;
  if (gates?.maxArtefactBytes !== undefined) {
    const [bytes, limit] = [Number(artefactBytes), Number(gates.maxArtefactBytes)];
    const sentence = `The model file has ${bytes} bytes; at most ${limit} are allowed (max_artefact_bytes).`;
    checks.push(gateCheck("max_artefact_bytes", bytes <= limit, sentence, bytes, limit));
  }
  if (gates?.maxRowMicroseconds !== undefined) {
    const limit = gates.maxRowMicroseconds;
    const took = `A row in a batch of ${batchRows} takes ${rowMicroseconds.toFixed(1)} µs`;
    const sentence = `${took}; at most ${limit} are allowed (max_row_microseconds).`;
    checks.push(gateCheck("max_row_microseconds", rowMicroseconds <= limit, sentence, rowMicroseconds, limit));
  }
  return checks;
}

function warningsGate({ gates, warnings }: GateInput): GateCheck[] {
  if (gates?.refuseWarnings !== true) return [];
  const count = warnings.length;
  const sentence =
    count === 0
      ? "There are no warnings about the data."
      : `There ${count === 1 ? "is a warning" : `are ${count} warnings`} about the data, and none is allowed (refuse_warnings).`;
  return [gateCheck("refuse_warnings", count === 0, sentence, count, 0)];
}

function againstChampion({ gates, metric, candidate, champion, advantage }: GateInput): GateCheck {
  const { key, title } = metricDefinition(metric);
  const tolerance = gates?.tolerance ?? 0;
  const own = candidate[key] ?? Number.NaN;
  const check = (passed: boolean, sentence: string): GateCheck =>
    gateCheck("tolerance", passed, sentence, advantage?.value, tolerance);
  if (!Number.isFinite(own)) return check(false, `Its ${title} could not be calculated.`);
  if (champion.kind === "none") {
    return check(true, "There is no champion yet: the first model that passes its gates serves.");
  }
  if (champion.kind === "unusable") {
    const why = `could not be run on the same rows, so it does not stand in the way: ${champion.reason}`;
    return check(true, `Champion ${champion.number} ${why}`);
  }
  const theirs = champion.metrics[key] ?? Number.NaN;
  const numbers = `${title} ${show(own)} against champion ${champion.number}'s ${show(theirs)} on the same ${candidate["rows"] ?? 0} rows`;
  const margin = `tolerance ${tolerance}`;
  const { value = Number.NaN, lower = Number.NaN, upper = Number.NaN } = advantage ?? {};
  if (!Number.isFinite(value)) return check(true, `${numbers}: the champion gives no usable answer.`);
  const confidence = `${Math.round((gates?.confidence || DEFAULT_CONFIDENCE) * 1_000) / 10} %`;
  const isBetter = value > tolerance && lower > 0;
  const isWorse = value < -tolerance && !(gates?.preferNewer === true && upper >= 0);
  if (isBetter) {
    return check(
      true,
      `${numbers}: better by ${show(value)}, by ${show(lower)} at least with ${confidence} confidence (${margin}).`,
    );
  }
  if (isWorse) return check(false, `${numbers}: worse by ${show(-value)} (${margin}); the champion stays.`);
  const who = gates?.preferNewer === true ? "the newer serves (prefer_newer)" : "the champion stays";
  if (Math.abs(value) <= tolerance) return check(gates?.preferNewer === true, `${numbers}: a tie (${margin}); ${who}.`);
  const [how, end] = value > 0 ? ["better", lower] : ["worse", -upper];
  const chance = `${how} by ${show(Math.abs(value))}, which may be chance (between it and ${show(end)} with ${confidence} confidence)`;
  return check(gates?.preferNewer === true, `${numbers}: ${chance}: a tie; ${who}.`);
}

const show = (value: number): string => (Number.isFinite(value) ? value.toFixed(4) : "not a number");
