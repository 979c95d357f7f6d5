import { durationToMs } from "@millrace/app";
import { type App, Trigger } from "@millrace/proto/millrace/app/v1/app_pb.ts";

/** When an app wants to be retrained; from `retraining` in its file. Durations of event time, in milliseconds. */
export interface RetrainingRules {
  readonly everyMs: number | undefined;
  readonly onSchedule: boolean;
  readonly onDrift: boolean;
  readonly onPerformance: boolean;
  readonly minNewLabels: number;
  readonly cooldownMs: number;
}

/** The rules of an app; undefined when it has none, and is retrained by hand only. */
export function retrainingRules({ retraining }: App): RetrainingRules | undefined {
  if (retraining === undefined) return undefined;
  const everyMs = durationToMs(retraining.every);
  return {
    everyMs,
    // A period without the word SCHEDULE is a schedule all the same, unless the file names its triggers.
    onSchedule: everyMs !== undefined && (retraining.on.length === 0 || retraining.on.includes(Trigger.SCHEDULE)),
    onDrift: retraining.on.includes(Trigger.DRIFT),
    onPerformance: retraining.on.includes(Trigger.PERFORMANCE),
    minNewLabels: retraining.minNewLabels,
    cooldownMs: durationToMs(retraining.cooldown) ?? 0,
  };
}

/** Everything that the decision looks at. Times in milliseconds: event time, except where said. */
export interface RetrainingState {
  readonly app: string;
  readonly eventTimeMs: number;
  readonly champion: { readonly version: string; readonly asOfMs: number } | undefined;
  readonly labels: number;
  readonly firstLabelAtMs: number | undefined;
  /** Whether a prediction was ever asked for. */
  readonly asked: boolean;
  readonly lastJob:
    | { readonly id: string; readonly asOfMs: number; readonly running: boolean; readonly labelsThen: number }
    | undefined;
  /** Open alerts. */
  readonly alerts: readonly OpenAlert[];
}

export interface OpenAlert {
  readonly monitor: string;
  readonly modelVersion: string;
  readonly title: string;
  /** End of the window that opened it, event time, ms. */
  readonly openedAtMs: number;
}

export type TriggerName = "schedule" | "drift" | "performance" | "first_model" | "manual";

/** Retrain or not, and why. `code` is the same as long as nothing that matters has changed. */
export interface Decision {
  readonly retrain: boolean;
  /** What asks for it; "" when nothing does. */
  readonly trigger: TriggerName | "";
  readonly code: string;
  /** One sentence for a person. */
  readonly reason: string;
  /**
   * Event time of the decision, ms: when its reasons were there, not when somebody came to look. A fast replay looks some hours of event
   * time late; so it asks for the same training, on the same data, as life would.
   */
  readonly atMs: number;
}

/** A reason that has waited longer than this was held back by something else than lag: the decision is of now. */
const MAX_LAG_MS = 86_400_000;

/**
 * Decides whether to retrain now. Something has to ask for it (a measured loss first, then drift, then the schedule), and nothing
 * may stand against it: a training that still runs, the cool-down since the last one, too few new labels.
 */
export function decideRetraining(rules: RetrainingRules | undefined, state: RetrainingState): Decision {
  const atMs = state.eventTimeMs;
  if (rules === undefined)
    return { retrain: false, trigger: "", code: "by_hand", reason: "The app is retrained by hand only.", atMs };
  const asked = whatAsks(rules, state);
  if (asked === undefined)
    return { retrain: false, trigger: "", code: "nothing_asks", reason: nothingAsks(rules, state), atMs };
  const hindrance = whatHinders(rules, state);
  if (hindrance === undefined) {
    const lastMs = state.lastJob?.asOfMs ?? -Infinity;
    const dueMs = Math.max(asked.sinceMs, lastMs + rules.cooldownMs);
    const lagging = dueMs > lastMs && dueMs <= atMs && atMs - dueMs <= MAX_LAG_MS;
    return { retrain: true, trigger: asked.trigger, code: "retrain", reason: asked.why, atMs: lagging ? dueMs : atMs };
  }
  return {
    atMs,
    retrain: false,
    trigger: asked.trigger,
    code: `${asked.trigger}:${hindrance.code}`,
    reason: `${asked.why} Not now: ${hindrance.why}`,
  };
}

interface Ask {
  readonly trigger: TriggerName;
  readonly why: string;
  /** Event time from which it has been asking, ms. */
  readonly sinceMs: number;
}

function whatAsks(rules: RetrainingRules, state: RetrainingState): Ask | undefined {
  const { champion } = state;
  if (champion === undefined) return asksForFirst(rules, state);
  // An alert about a model that no longer serves was answered by the one that replaced it.
  const current = state.alerts.filter((alert) => alert.modelVersion === champion.version);
  for (const [trigger, wanted] of [
    ["performance", rules.onPerformance],
    ["drift", rules.onDrift],
  ] as const) {
    const alert = wanted ? current.find(({ monitor }) => monitor === trigger) : undefined;
    // A candidate that knew the drift and was rejected shows that the champion copes with it; another would be no better.
    if (trigger === "drift" && alert !== undefined && alert.openedAtMs <= (state.lastJob?.asOfMs ?? -Infinity))
      continue;
    if (alert !== undefined) {
      return { trigger, why: `The ${trigger} alert is open: ${alert.title}`, sinceMs: alert.openedAtMs };
    }
  }
  // A candidate that was rejected has had its turn: the schedule goes on from the last training, promoted or not.
  const sinceMs = Math.max(champion.asOfMs, state.lastJob?.asOfMs ?? champion.asOfMs);
  const ageMs = state.eventTimeMs - sinceMs;
  if (!rules.onSchedule || rules.everyMs === undefined || ageMs < rules.everyMs) return undefined;
  return {
    trigger: "schedule",
    sinceMs: sinceMs + rules.everyMs,
    why: `${days(ageMs)} since the last training; the schedule is every ${days(rules.everyMs)}.`,
  };
}

/**
 * The first model waits until somebody asks for predictions, so that it is not trained on the first days of a history that is still
 * being loaded, and for as much history as the schedule spans.
 */
function asksForFirst(rules: RetrainingRules, state: RetrainingState): Ask | undefined {
  if (!state.asked || state.firstLabelAtMs === undefined || rules.everyMs === undefined || !rules.onSchedule)
    return undefined;
  const fromMs = Math.max(state.firstLabelAtMs, state.lastJob?.asOfMs ?? state.firstLabelAtMs);
  const spanMs = state.eventTimeMs - fromMs;
  if (spanMs < rules.everyMs) return undefined;
  return {
    trigger: "first_model",
    sinceMs: fromMs + rules.everyMs,
    why: `There is no model yet, and ${days(spanMs)} of history with ${state.labels} labels.`,
  };
}

function whatHinders(rules: RetrainingRules, state: RetrainingState): { code: string; why: string } | undefined {
  const { lastJob } = state;
  if (lastJob?.running) return { code: "running", why: `training ${lastJob.id} has not ended.` };
  if (lastJob !== undefined && state.eventTimeMs - lastJob.asOfMs < rules.cooldownMs) {
    return {
      code: "cooldown",
      why: `the last training was ${days(state.eventTimeMs - lastJob.asOfMs)} ago; the cool-down is ${days(rules.cooldownMs)}.`,
    };
  }
  const fresh = state.labels - (lastJob?.labelsThen ?? 0);
  if (fresh < rules.minNewLabels) {
    return { code: "few_labels", why: `${fresh} new labels; at least ${rules.minNewLabels} are needed.` };
  }
  return undefined;
}

function nothingAsks(rules: RetrainingRules, { champion, lastJob }: RetrainingState): string {
  if (champion === undefined) {
    return "There is no model yet, and nobody has asked for predictions or there is too little history for a first one.";
  }
  const schedule =
    rules.onSchedule && rules.everyMs !== undefined
      ? `, and the schedule (every ${days(rules.everyMs)}) is not due`
      : "";
  if (lastJob?.running) return `Training ${lastJob.id} has not ended, and nothing asks for another.`;
  return `No alert about ${champion.version} is open that no training has answered${schedule}.`;
}

/** `7 days`, `1.5 days`, `3 hours`. */
function days(milliseconds: number): string {
  const hours = milliseconds / 3_600_000;
  if (hours < 24) return `${Math.round(hours * 10) / 10} hours`;
  return `${Math.round((hours / 24) * 10) / 10} days`;
}
