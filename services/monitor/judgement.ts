import { populationStability } from "@millrace/metrics";
import type { Usual } from "./baseline.ts";
import type { MonitoringRules } from "./monitoringRules.ts";
import { twoSampleChiSquare } from "./statistics/binnedDistances.ts";
import { largerShare } from "./statistics/significance.ts";
import { normalTail } from "./statistics/specialFunctions.ts";
import { largerThanUsual } from "./statistics/windowVariation.ts";
import { PREDICTION, type WatchedModel, type WatchedSubject } from "./watchedModel.ts";
import type { SubjectCounts, Window } from "./window.ts";

export const MONITORS = ["drift", "data_quality", "performance", "fallback"] as const;
export type MonitorName = (typeof MONITORS)[number];

/** One measured effect, beside the size from which on it matters, and how likely chance alone makes one as large. */
export interface Evidence {
  readonly subject: string;
  readonly statistic: "psi" | "missing_increase" | "unseen_share" | "log_loss_increase" | "fallback_share";
  readonly value: number;
  readonly limit: number;
  readonly pValue: number;
  /** Of the input to the model, 0 to 1; absent where unknown. */
  readonly importance?: number;
  /** Before and after; absent where there is none. */
  readonly picture?: Picture;
}

/** Shares of the rows per bin, and of those in which it is missing, in the reference and now. Bin i holds edges[i-1] < x <= edges[i]. */
export interface Picture {
  readonly edges: readonly number[];
  readonly reference: readonly number[];
  readonly current: readonly number[];
  readonly referenceMissing: number;
  readonly currentMissing: number;
}

/** What is watched, as one window shows it: also what is well. */
export interface Measurement extends Evidence {
  readonly monitor: MonitorName;
}

/** An input that is missing in this much more of the rows than in training is a fault upstream. */
const MAX_MISSING_INCREASE = 0.1;
/** The same for values that were never seen in training. */
const MAX_UNSEEN_SHARE = 0.1;
/** An input that is worth four times its share to the model matters at half the limit; one that is worth little, at half more. */
const IMPORTANCE_FACTORS = { least: 0.5, most: 1.5 } as const;

/**
 * Measures the inputs and answers of a window: how far they are from the reference (population stability index), by how much more often they are
 * missing, and how many values the reference never had. Significance is judged by how much windows of the reference differ among themselves; where
 * the reference does not tell, by the rows.
 */
export function judgeInputs(window: Window, rules: MonitoringRules): Measurement[] {
  const { model, key } = window;
  return model.subjects.flatMap((subject, index) => {
    if (subject.edges.length === 0 || rules.timeOnly.has(subject.name)) return [];
    const counts = window.subject(index);
    const usual = subject.baseline.usual(key.fromMs, rules.seasonMs);
    const measured = [];
    if (counts.present >= rules.minRows) {
      measured.push(shift(subject, counts, usual, model, rules));
      if (subject.name !== PREDICTION) measured.push(unseen(subject, counts, model));
    }
    const known = usual.variation !== undefined || model.referenceRows > 0;
    if (known && counts.present + counts.missing >= rules.minRows) measured.push(gap(subject, counts, usual, model));
    const { importance } = subject;
    const common = Number.isNaN(importance) ? {} : { importance };
    const picture = pictureOf(subject, counts, usual);
    return measured.map((one) => ({ ...one, ...common, picture }));
  });
}

function shift(
  { name, importance }: WatchedSubject,
  { bins }: SubjectCounts,
  { shares, missing, variation }: Usual,
  { subjects, referenceRows }: WatchedModel,
  { maxPsi }: MonitoringRules,
): Measurement {
  const expected = (): Float64Array => Float64Array.from(shares, (share) => share * referenceRows * (1 - missing));
  return {
    monitor: "drift",
    subject: name,
    statistic: "psi",
    value: populationStability(bins, shares),
    limit: maxPsi * limitFactor(importance, subjects.length - 1),
    pValue: variation === undefined ? twoSampleChiSquare(bins, expected()) : variation.shiftP(bins),
  };
}

/** How much larger than the app's limit a shift must be to matter: by the root of what the input is worth among so many. */
export function limitFactor(importance: number, inputs: number): number {
  if (Number.isNaN(importance)) return 1;
  const { least, most } = IMPORTANCE_FACTORS;
  return Math.min(Math.max(1 / Math.sqrt(importance * inputs), least), most);
}

function gap(subject: WatchedSubject, counts: SubjectCounts, usual: Usual, model: WatchedModel): Measurement {
  const rows = counts.present + counts.missing;
  const { missing: share, variation } = usual;
  return {
    monitor: "data_quality",
    subject: subject.name,
    statistic: "missing_increase",
    value: counts.missing / rows - share,
    limit: MAX_MISSING_INCREASE,
    pValue:
      variation === undefined
        ? largerShare(counts.missing, rows, share * model.referenceRows, model.referenceRows)
        : variation.missingP({ counts: counts.bins, missing: counts.missing }),
  };
}

function unseen(subject: WatchedSubject, counts: SubjectCounts, model: WatchedModel): Measurement {
  return {
    monitor: "data_quality",
    subject: subject.name,
    statistic: "unseen_share",
    value: counts.unseen / counts.present,
    limit: MAX_UNSEEN_SHARE,
    pValue: largerShare(counts.unseen, counts.present, 0, Math.max(model.referenceRows, 1)),
  };
}

function pictureOf({ edges }: WatchedSubject, counts: SubjectCounts, usual: Usual): Picture {
  const { bins, present, missing } = counts;
  return {
    edges,
    reference: usual.shares,
    current: Array.from(bins, (count) => (present === 0 ? 0 : count / present)),
    referenceMissing: usual.missing,
    currentMissing: present + missing === 0 ? 0 : missing / (present + missing),
  };
}

/**
 * Measures the truth of a window. Its log loss is compared with the larger of what the holdout gave and what the predictions
 * themselves promise: on a day when half of everything is uncertain a calibrated model's loss is higher, and nothing is wrong. Significance
 * is judged by how well promises were kept in windows of the holdout; where these are too few, by the rows.
 */
export function judgeTruth({ truth, model }: Window, rules: MonitoringRules): Measurement[] {
  const { excess } = truth;
  const byWindows = largerThanUsual(excess, model.holdoutExcess);
  const byRows = excess.variance === 0 ? 0.5 : normalTail(excess.value / Math.sqrt(excess.variance));
  return [
    {
      monitor: "performance",
      subject: "log_loss",
      statistic: "log_loss_increase",
      value: truth.logLoss - expectedLogLoss(truth.expectedLogLoss, model.holdoutLogLoss),
      limit: rules.maxLogLossIncrease,
      pValue: Number.isNaN(byWindows) ? byRows : byWindows,
    },
  ];
}

export function expectedLogLoss(promised: number, holdout: number): number {
  return Number.isNaN(holdout) ? promised : Math.max(promised, holdout);
}

/** Measures how often the champion did not answer. Counted over all of an app's predictions: no test is needed. */
export function judgeFallbacks(predictions: number, fallbacks: number, rules: MonitoringRules): Measurement {
  const value = predictions === 0 ? 0 : fallbacks / predictions;
  const subject = "fallback_share";
  return { monitor: "fallback", subject, statistic: subject, value, limit: rules.maxFallbackShare, pValue: 0 };
}
