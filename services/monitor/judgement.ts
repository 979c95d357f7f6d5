import { populationStability } from "@millrace/metrics";
import type { MonitoringRules } from "./monitoringRules.ts";
import { benjaminiHochberg, largerShare, twoSampleChiSquare } from "./statistics/distributions.ts";
import { normalTail } from "./statistics/specialFunctions.ts";
import type { Window } from "./window.ts";

export type MonitorName = "drift" | "data_quality" | "performance" | "fallback";

/** One measured effect, beside the size from which on it matters. */
export interface Evidence {
  readonly subject: string;
  readonly statistic: "psi" | "missing_increase" | "log_loss_increase" | "fallback_share";
  readonly value: number;
  readonly limit: number;
  readonly pValue: number;
}

/** What one window says to one monitor. Empty evidence: nothing is wrong. */
export interface Finding {
  readonly monitor: MonitorName;
  readonly evidence: readonly Evidence[];
}

/** Share of false ones that are accepted among the differences found in one window. */
const FALSE_DISCOVERY_RATE = 0.01;
/** An input that is missing in this much more of the rows than in training is a fault upstream. */
const MAX_MISSING_INCREASE = 0.1;

/**
 * Judges the inputs and answers of a window. A shift counts when it is large (PSI over the limit, and over what any stretch of the
 * training set itself reached, where the reference tells) and is not chance (chi-square, corrected over everything watched).
 */
export function judgeInputs(window: Window, rules: MonitoringRules): Finding[] {
  const { subjects, referenceRows } = window.model;
  const shifts: Evidence[] = [];
  const gaps: Evidence[] = [];
  subjects.forEach(({ name, edges, shares, missing, windowPsi }, index) => {
    if (edges.length === 0 || rules.timeOnly.has(name)) return;
    const counts = window.subject(index);
    const rows = counts.present + counts.missing;
    if (counts.present >= rules.minRows) {
      const expected = Float64Array.from(shares, (share) => share * referenceRows * (1 - missing));
      shifts.push({
        subject: name,
        statistic: "psi",
        value: populationStability(counts.bins, shares),
        limit: Math.max(rules.maxPsi, ...windowPsi),
        pValue: twoSampleChiSquare(counts.bins, expected),
      });
    }
    if (rows >= rules.minRows && referenceRows > 0) {
      gaps.push({
        subject: name,
        statistic: "missing_increase",
        value: counts.missing / rows - missing,
        limit: MAX_MISSING_INCREASE,
        pValue: largerShare(counts.missing, rows, missing * referenceRows, referenceRows),
      });
    }
  });
  return [
    { monitor: "drift", evidence: thatMatter(shifts) },
    { monitor: "data_quality", evidence: thatMatter(gaps) },
  ];
}

/**
 * Judges the truth of a window. Its log loss is compared with the larger of what the holdout gave and what the predictions
 * themselves promise: on a day when half of everything is uncertain a calibrated model's loss is higher, and nothing is wrong.
 */
export function judgeTruth({ truth, model }: Window, rules: MonitoringRules): Finding {
  const increase = truth.logLoss - expectedLogLoss(truth.expectedLogLoss, model.holdoutLogLoss);
  const evidence: Evidence = {
    subject: "log_loss",
    statistic: "log_loss_increase",
    value: increase,
    limit: rules.maxLogLossIncrease,
    pValue: normalTail(truth.excessInStandardErrors),
  };
  return { monitor: "performance", evidence: thatMatter([evidence]) };
}

export function expectedLogLoss(promised: number, holdout: number): number {
  return Number.isNaN(holdout) ? promised : Math.max(promised, holdout);
}

/** Judges how often the champion did not answer. Counted over all of an app's predictions: no test is needed. */
export function judgeFallbacks(predictions: number, fallbacks: number, rules: MonitoringRules): Finding {
  const value = predictions === 0 ? 0 : fallbacks / predictions;
  const limit = rules.maxFallbackShare;
  const evidence: Evidence = { subject: "fallback_share", statistic: "fallback_share", value, limit, pValue: 0 };
  return { monitor: "fallback", evidence: thatMatter([evidence]) };
}

/** Large enough to matter, and evidence that it is not chance; the worst first. */
function thatMatter(measured: readonly Evidence[]): Evidence[] {
  const significant = benjaminiHochberg(
    measured.map(({ pValue }) => pValue),
    FALSE_DISCOVERY_RATE,
  );
  return measured
    .filter(({ value, limit }, index) => value > limit && significant[index])
    .sort((a, b) => b.value / b.limit - a.value / a.limit);
}
