import { durationToMs } from "@millrace/app";
import { type App, Trigger } from "@millrace/proto/millrace/app/v1/app_pb.ts";

/** When an app wants to be retrained; from `retraining` in its file. Durations of event time, in milliseconds. */
export interface RetrainingRules {
  readonly everyMs: number | undefined;
  /** What may ask for a training. */
  readonly on: ReadonlySet<TriggerName>;
  readonly minNewLabels: number;
  readonly cooldownMs: number;
  /** So many labels since the last training ask for the next; 0: none do. */
  readonly everyLabels: number;
  readonly budget: { readonly trainings: number; readonly perMs: number } | undefined;
}

const TRIGGER_NAMES: Readonly<Record<number, TriggerName>> = {
  [Trigger.DRIFT]: "drift",
  [Trigger.PERFORMANCE]: "performance",
  [Trigger.SCHEDULE]: "schedule",
  [Trigger.VOLUME]: "volume",
  [Trigger.ESTIMATED_PERFORMANCE]: "estimated_performance",
};

/** The rules of an app; undefined when it has none, and is retrained by hand only. */
export function retrainingRules({ retraining }: App): RetrainingRules | undefined {
  if (retraining === undefined) return undefined;
  const everyMs = durationToMs(retraining.every);
  const { everyLabels, budget } = retraining;
  const on = new Set<TriggerName>();
  for (const trigger of retraining.on) {
    const name = TRIGGER_NAMES[trigger];
    if (name !== undefined) on.add(name);
  }
  // A period or a number of labels asks without its word, too, unless the file names its triggers.
  if (retraining.on.length === 0) {
    if (everyMs !== undefined) on.add("schedule");
    if (everyLabels > 0) on.add("volume");
  }
  const perMs = durationToMs(budget?.per);
  return {
    everyMs,
    on,
    minNewLabels: retraining.minNewLabels,
    cooldownMs: durationToMs(retraining.cooldown) ?? 0,
    everyLabels,
    budget: budget === undefined || perMs === undefined ? undefined : { trainings: budget.trainings, perMs },
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
  /** Event times of the trainings before, in any order; at least those that a budget may count. */
  readonly trainedAtMs: readonly number[];
  /** Open alerts. */
  readonly alerts: readonly OpenAlert[];
}

/** A person's wish for a training. */
export interface ManualRequest {
  readonly why: string;
  readonly who: string;
  readonly despiteDataQuality: boolean;
}

export interface OpenAlert {
  readonly monitor: string;
  readonly modelVersion: string;
  readonly title: string;
  /** End of the window that opened it, event time, ms. */
  readonly openedAtMs: number;
}

export type TriggerName =
  | "schedule"
  | "drift"
  | "performance"
  | "estimated_performance"
  | "volume"
  | "first_model"
  | "manual";

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
 * Decides whether to retrain now. Something has to ask for it (a measured loss first, then an estimated one, drift, the number of labels, the
 * schedule), and nothing may stand against it: a training that still runs, data that data quality rejects, the cool-down since the last
 * one, too few new labels, the budget.
 */
export function decideRetraining(rules: RetrainingRules | undefined, state: RetrainingState): Decision {
  const atMs = state.eventTimeMs;
  if (rules === undefined)
    return { retrain: false, trigger: "", code: "by_hand", reason: "The app is retrained by hand only.", atMs };
  const asked = whatAsks(rules, state);
  if (asked === undefined) {
    const code = state.lastJob?.running === true ? "nothing_asks:running" : "nothing_asks";
    return { retrain: false, trigger: "", code, reason: nothingAsks(rules, state), atMs };
  }
  const hindrance = whatHinders(rules, state);
  if (hindrance !== undefined) return notNow(asked, hindrance, atMs);
  const lastMs = state.lastJob?.asOfMs ?? -Infinity;
  const dueMs = Math.max(asked.sinceMs, lastMs + rules.cooldownMs);
  const lagging = dueMs > lastMs && dueMs <= atMs && atMs - dueMs <= MAX_LAG_MS;
  return { retrain: true, trigger: asked.trigger, code: "retrain", reason: asked.why, atMs: lagging ? dueMs : atMs };
}

/** Decides about a person's wish: what would be wasteful for a policy is theirs to judge; what would be wrong is not. */
export function decideByHand({ why, who, despiteDataQuality }: ManualRequest, state: RetrainingState): Decision {
  const atMs = Math.max(state.eventTimeMs, (state.lastJob?.asOfMs ?? -Infinity) + 1);
  const asked: Ask = { trigger: "manual", why: `${who || "Somebody"} asks for it: ${why}`, sinceMs: atMs };
  const hindrance = runningJob(state) ?? (despiteDataQuality ? undefined : badData(state));
  if (hindrance !== undefined) return notNow(asked, hindrance, atMs);
  return { retrain: true, trigger: "manual", code: "retrain", reason: asked.why, atMs };
}

function notNow({ trigger, why }: Ask, hindrance: Hindrance, atMs: number): Decision {
  return {
    atMs,
    retrain: false,
    trigger,
    code: `${trigger}:${hindrance.code}`,
    reason: `${why} Not now: ${hindrance.why}`,
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
  return (
    whichAlertAsks(rules, state, champion.version) ??
    whetherLabelsAsk(rules, state) ??
    scheduleAsks(rules, state, champion.asOfMs)
  );
}

function whichAlertAsks({ on }: RetrainingRules, state: RetrainingState, champion: string): Ask | undefined {
  for (const trigger of ["performance", "estimated_performance", "drift"] as const) {
    // An alert about a model that no longer serves was answered by the one that replaced it.
    const alert = on.has(trigger)
      ? state.alerts.find(({ monitor, modelVersion }) => monitor === trigger && modelVersion === champion)
      : undefined;
    if (alert === undefined) continue;
    // A candidate that knew what the alert tells of and was rejected shows that the champion copes with it; another would be no better. A
    // loss that was measured is another matter.
    const answered = alert.openedAtMs <= (state.lastJob?.asOfMs ?? -Infinity);
    if (trigger !== "performance" && answered) continue;
    return { trigger, why: `The ${trigger} alert is open: ${alert.title}`, sinceMs: alert.openedAtMs };
  }
  return undefined;
}

function whetherLabelsAsk({ on, everyLabels }: RetrainingRules, state: RetrainingState): Ask | undefined {
  const fresh = newLabels(state);
  if (!on.has("volume") || everyLabels === 0 || fresh < everyLabels) return undefined;
  const why = `${fresh} new labels; a training is wanted every ${everyLabels}.`;
  return { trigger: "volume", why, sinceMs: state.eventTimeMs };
}

function scheduleAsks(
  { on, everyMs }: RetrainingRules,
  state: RetrainingState,
  championAsOfMs: number,
): Ask | undefined {
  // A candidate that was rejected has had its turn: the schedule goes on from the last training, promoted or not.
  const sinceMs = Math.max(championAsOfMs, state.lastJob?.asOfMs ?? championAsOfMs);
  const ageMs = state.eventTimeMs - sinceMs;
  if (!on.has("schedule") || everyMs === undefined || ageMs < everyMs) return undefined;
  return {
    trigger: "schedule",
    sinceMs: sinceMs + everyMs,
    why: `${days(ageMs)} since the last training; the schedule is every ${days(everyMs)}.`,
  };
}

const newLabels = ({ labels, lastJob }: RetrainingState): number => labels - (lastJob?.labelsThen ?? 0);

/**
 * The first model waits until somebody asks for predictions, so that it is not trained on the first days of a history that is still
 * being loaded, and for as much history as the schedule spans, or as many labels as ask for a training.
 */
function asksForFirst(rules: RetrainingRules, state: RetrainingState): Ask | undefined {
  if (!state.asked || state.firstLabelAtMs === undefined) return undefined;
  const fromMs = Math.max(state.firstLabelAtMs, state.lastJob?.asOfMs ?? state.firstLabelAtMs);
  const spanMs = state.eventTimeMs - fromMs;
  const why = `There is no model yet, and ${days(spanMs)} of history with ${state.labels} labels.`;
  if (rules.on.has("schedule") && rules.everyMs !== undefined && spanMs >= rules.everyMs)
    return { trigger: "first_model", sinceMs: fromMs + rules.everyMs, why };
  if (whetherLabelsAsk(rules, state) === undefined) return undefined;
  return { trigger: "first_model", sinceMs: state.eventTimeMs, why };
}

interface Hindrance {
  readonly code: string;
  readonly why: string;
}

function whatHinders(rules: RetrainingRules, state: RetrainingState): Hindrance | undefined {
  return (
    runningJob(state) ?? badData(state) ?? tooSoon(rules, state) ?? tooFew(rules, state) ?? overBudget(rules, state)
  );
}

function runningJob({ lastJob }: RetrainingState): Hindrance | undefined {
  return lastJob?.running ? { code: "running", why: `training ${lastJob.id} has not ended.` } : undefined;
}

/** Whichever model it is about: the data is the same. */
function badData({ alerts }: RetrainingState): Hindrance | undefined {
  const alert = alerts.find(({ monitor }) => monitor === "data_quality");
  if (alert === undefined) return undefined;
  return {
    code: "data_quality",
    why: `the data_quality alert is open, and a model would learn the fault: ${alert.title}`,
  };
}

function tooSoon({ cooldownMs }: RetrainingRules, { lastJob, eventTimeMs }: RetrainingState): Hindrance | undefined {
  if (lastJob === undefined || eventTimeMs - lastJob.asOfMs >= cooldownMs) return undefined;
  const ago = days(eventTimeMs - lastJob.asOfMs);
  return { code: "cooldown", why: `the last training was ${ago} ago; the cool-down is ${days(cooldownMs)}.` };
}

function tooFew({ minNewLabels }: RetrainingRules, state: RetrainingState): Hindrance | undefined {
  const fresh = newLabels(state);
  if (fresh >= minNewLabels) return undefined;
  return { code: "few_labels", why: `${fresh} new labels; at least ${minNewLabels} are needed.` };
}

function overBudget({ budget }: RetrainingRules, { trainedAtMs, eventTimeMs }: RetrainingState): Hindrance | undefined {
  if (budget === undefined) return undefined;
  const { trainings, perMs } = budget;
  const recent = trainedAtMs.filter((atMs) => atMs > eventTimeMs - perMs).length;
  if (recent < trainings) return undefined;
  return { code: "budget", why: `${recent} trainings in the last ${days(perMs)}; the budget is ${trainings}.` };
}

function nothingAsks(rules: RetrainingRules, { champion, lastJob }: RetrainingState): string {
  if (champion === undefined) {
    return "There is no model yet, and nobody has asked for predictions or there is too little history for a first one.";
  }
  const schedule =
    rules.on.has("schedule") && rules.everyMs !== undefined
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
