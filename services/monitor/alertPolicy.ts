import { adviceOf, resolvedTitle, severityOf, titleOf } from "./alertText.ts";
import type { Evidence, Finding, MonitorName } from "./judgement.ts";

/** What is remembered about one monitor of one app between windows. Plain data: it is stored as JSON. */
export interface AlertMemory {
  readonly modelVersion: string;
  /** Windows in a row that found something, and that found nothing. */
  readonly breaches: number;
  readonly quiet: number;
  /** End of the last quiet window before the breaches began, or the begin of the first: since when it has been so. */
  readonly sinceMs: number;
  readonly open: OpenAlert | undefined;
}

export interface OpenAlert {
  readonly id: string;
  readonly openedAtMs: number;
  readonly modelVersion: string;
  readonly sinceMs: number;
  readonly evidence: readonly Evidence[];
}

export interface AlertChange {
  readonly id: string;
  readonly monitor: MonitorName;
  readonly state: "open" | "updated" | "resolved";
  readonly severity: "warning" | "critical";
  readonly title: string;
  readonly advice: string;
  readonly evidence: readonly Evidence[];
  readonly openedAtMs: number;
  readonly changedAtMs: number;
  readonly modelVersion: string;
}

/** One judged window. */
export interface JudgedWindow {
  readonly app: string;
  readonly modelVersion: string;
  readonly fromMs: number;
  readonly toMs: number;
  /** Windows in a row that open an alert, and that resolve it. */
  readonly hold: number;
}

/** An alert is told again when its worst effect has changed by this factor. */
const WORTH_TELLING = 1.5;

const NOTHING: AlertMemory = { modelVersion: "", breaches: 0, quiet: 0, sinceMs: 0, open: undefined };

/**
 * The life of an alert: it opens once, after `hold` windows in a row that found something; it is updated when other things are
 * affected or the effect has changed much; it resolves after as many quiet windows, or when another model takes over, which
 * starts afresh.
 */
export function nextAlert(
  memory: AlertMemory = NOTHING,
  finding: Finding,
  window: JudgedWindow,
): { memory: AlertMemory; changes: AlertChange[] } {
  const changes: AlertChange[] = [];
  let before = memory;
  if (before.modelVersion !== window.modelVersion) {
    if (before.open !== undefined)
      changes.push(resolve(before.open, finding, window, `${window.modelVersion} took over`));
    before = { ...NOTHING, modelVersion: window.modelVersion };
  }
  const { memory: after, change } =
    finding.evidence.length > 0 ? onBreach(before, finding, window) : onQuiet(before, finding, window);
  if (change !== undefined) changes.push(change);
  return { memory: after, changes };
}

interface Step {
  readonly memory: AlertMemory;
  readonly change?: AlertChange;
}

function onBreach(before: AlertMemory, finding: Finding, window: JudgedWindow): Step {
  const sinceMs = before.breaches === 0 ? window.fromMs : before.sinceMs;
  const memory = { ...before, breaches: before.breaches + 1, quiet: 0, sinceMs };
  const { evidence, monitor } = finding;
  if (before.open === undefined) {
    if (memory.breaches < window.hold) return { memory };
    const { app, modelVersion, toMs } = window;
    const open = { id: `${app}-${monitor}-${toMs}`, openedAtMs: toMs, modelVersion, sinceMs, evidence };
    return { memory: { ...memory, open }, change: changeOf("open", open, monitor, window) };
  }
  const open = { ...before.open, evidence };
  if (!isNews(before.open.evidence, evidence)) return { memory };
  return { memory: { ...memory, open }, change: changeOf("updated", open, monitor, window) };
}

function onQuiet(before: AlertMemory, finding: Finding, window: JudgedWindow): Step {
  const memory = { ...before, breaches: 0, quiet: before.quiet + 1 };
  if (before.open === undefined || memory.quiet < window.hold) return { memory };
  const why = `back within limits for ${window.hold} windows`;
  return { memory: { ...memory, open: undefined }, change: resolve(before.open, finding, window, why) };
}

function changeOf(
  state: "open" | "updated",
  open: OpenAlert,
  monitor: MonitorName,
  { app, toMs }: JudgedWindow,
): AlertChange {
  const { id, openedAtMs, modelVersion, evidence, sinceMs } = open;
  return {
    id,
    monitor,
    state,
    severity: severityOf(monitor, evidence),
    title: titleOf(monitor, evidence, { app, modelVersion, sinceMs }),
    advice: adviceOf(monitor, evidence),
    evidence,
    openedAtMs,
    changedAtMs: toMs,
    modelVersion,
  };
}

function resolve(open: OpenAlert, { monitor }: Finding, { app, toMs }: JudgedWindow, why: string): AlertChange {
  const { id, openedAtMs, modelVersion, evidence, sinceMs } = open;
  return {
    id,
    monitor,
    state: "resolved",
    severity: severityOf(monitor, evidence),
    title: resolvedTitle(titleOf(monitor, evidence, { app, modelVersion, sinceMs }), why),
    advice: "Nothing to do.",
    evidence,
    openedAtMs,
    changedAtMs: toMs,
    modelVersion,
  };
}

function isNews(before: readonly Evidence[], now: readonly Evidence[]): boolean {
  const names = (evidence: readonly Evidence[]): string =>
    evidence
      .map(({ subject }) => subject)
      .sort()
      .join();
  if (names(before) !== names(now)) return true;
  const worst = (evidence: readonly Evidence[]): number =>
    Math.max(...evidence.map(({ value, limit }) => value / limit));
  const factor = worst(now) / worst(before);
  return factor > WORTH_TELLING || factor < 1 / WORTH_TELLING;
}
