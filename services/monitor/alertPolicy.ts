import { adviceOf, resolvedTitle, severityOf, titleOf } from "./alertText.ts";
import { groupByCause, type Sources } from "./causes.ts";
import { type Hold, heldPValue, isElevated, isHeld, nameOf, type Readings, remember } from "./heldReadings.ts";
import type { Evidence, Measurement, MonitorName } from "./judgement.ts";
import { benjaminiHochberg } from "./statistics/significance.ts";
import { PREDICTION } from "./watchedModel.ts";

/** What is remembered about an app between windows. Plain data: it is stored as JSON. */
export interface PolicyMemory {
  readonly modelVersion: string;
  readonly readings: Readings;
  readonly open: readonly OpenAlert[];
}

export interface OpenAlert {
  readonly id: string;
  readonly monitor: MonitorName;
  readonly modelVersion: string;
  /** Fields of events that would explain it. */
  readonly causes: readonly string[];
  /** What it is about, by name. */
  readonly members: readonly string[];
  /** Windows in a row in which none of it was to be seen. */
  readonly quiet: number;
  readonly openedAtMs: number;
  /** Begin of the first window in which something of it was to be seen. */
  readonly sinceMs: number;
  /** As it was last told, without pictures. */
  readonly evidence: readonly Evidence[];
}

export interface AlertChange {
  readonly id: string;
  readonly monitor: MonitorName;
  readonly state: "open" | "updated" | "resolved";
  readonly severity: "warning" | "critical";
  readonly title: string;
  readonly advice: string;
  readonly causes: readonly string[];
  readonly evidence: readonly Evidence[];
  readonly openedAtMs: number;
  readonly changedAtMs: number;
  readonly modelVersion: string;
}

/** One judged window, and how long things have to hold: an alert resolves after `hold` quiet windows. */
export interface JudgedWindow extends Hold {
  readonly app: string;
  readonly modelVersion: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly sources: Sources;
}

/** Share of false ones that are accepted among what is found in one window: where nothing is wrong, one window in 1,000 cries. */
const FALSE_DISCOVERY_RATE = 0.001;
/** An alert is told again when its worst effect has grown by this factor since it was told. */
const WORTH_TELLING = 1.5;

export const NOTHING_YET: PolicyMemory = { modelVersion: "", readings: {}, open: [] };

/**
 * The life of alerts. Something is wrong when its effect was over its limit in `hold` of the last `holdOf` windows, and that many
 * windows as unusual as these are more than chance, corrected over everything measured in this window. What has one cause is one alert. It
 * opens once; it is updated when more is affected or the effect has grown much; it resolves after `hold` windows in which all of it was well
 * below its limit or nothing unusual, or when another model takes over, which starts afresh.
 *
 * @param measured everything that was looked at in this window, also what is well
 */
export function nextAlerts(
  memory: PolicyMemory,
  measured: readonly Measurement[],
  window: JudgedWindow,
): { memory: PolicyMemory; changes: AlertChange[] } {
  const { memory: before, changes } = takeOver(memory, window);
  const readings = remember(before.readings, measured, window);
  const open: OpenAlert[] = [];
  let wrong = wrongOnes(readings, measured, window);
  for (const alert of before.open) {
    const joining = wrong.filter((one) => belongsTo(one, alert, window.sources));
    wrong = wrong.filter((one) => !joining.includes(one));
    const step = goOn(alert, measured, joining, window);
    if (step.change !== undefined) changes.push(step.change);
    if (step.alert !== undefined) open.push(step.alert);
  }
  for (const alert of opened(wrong, measured, readings, [...open], window)) {
    open.push(alert);
    changes.push(changeOf("open", alert, window));
  }
  return { memory: { ...before, readings, open: open.map(withoutPictures) }, changes };
}

/** Resolves what a predecessor caused. */
function takeOver(memory: PolicyMemory, window: JudgedWindow): { memory: PolicyMemory; changes: AlertChange[] } {
  const { modelVersion } = window;
  if (memory.modelVersion === modelVersion) return { memory, changes: [] };
  return {
    memory: { ...NOTHING_YET, modelVersion },
    changes: memory.open.map((alert) => resolved(alert, `${modelVersion} took over`, window)),
  };
}

/** What has held long enough, large enough to matter and more than chance; the worst first. */
function wrongOnes(readings: Readings, measured: readonly Measurement[], window: JudgedWindow): Measurement[] {
  const significant = benjaminiHochberg(
    measured.map((one) => heldPValue(readings[nameOf(one)], window)),
    FALSE_DISCOVERY_RATE,
  );
  const wrong = measured.filter((one, index) => significant[index] && isHeld(readings[nameOf(one)], window));
  return wrong.sort(byEffect);
}

const isAboutInputs = (monitor: MonitorName): boolean => monitor === "drift" || monitor === "data_quality";

/** Whether something that is wrong has the cause of an open alert, or is a consequence of it. */
function belongsTo(one: Measurement, alert: OpenAlert, sources: Sources): boolean {
  if (!isAboutInputs(one.monitor) || !isAboutInputs(alert.monitor)) return one.monitor === alert.monitor;
  const subjects = alert.members.map(subjectOf);
  if (one.subject === PREDICTION || subjects.includes(one.subject)) return true;
  if (subjects.every((subject) => subject === PREDICTION)) return true;
  return sources.get(one.subject)?.some((field) => alert.causes.includes(field)) ?? false;
}

/** An open alert after one more window; without it when it is over. */
function goOn(
  alert: OpenAlert,
  measured: readonly Measurement[],
  joining: readonly Measurement[],
  window: JudgedWindow,
): { alert?: OpenAlert; change?: AlertChange } {
  const own = measured.filter((one) => alert.members.includes(nameOf(one)));
  if (own.length === 0 && joining.length === 0) return { alert };
  const evidence = [...new Set([...own.filter(isElevated), ...joining])].sort(byEffect);
  if (evidence.length === 0) {
    const quiet = alert.quiet + 1;
    if (quiet < window.hold) return { alert: { ...alert, quiet } };
    return { change: resolved(alert, `back within limits for ${window.hold} windows`, window) };
  }
  const members = [...new Set([...alert.members, ...joining.map(nameOf)])];
  const next = { ...alert, members, quiet: 0 };
  if (!isNews(alert, evidence)) return { alert: next };
  const told = { ...next, evidence };
  return { alert: told, change: changeOf("updated", told, window) };
}

/** New alerts, one for each cause. */
function opened(
  wrong: readonly Measurement[],
  measured: readonly Measurement[],
  readings: Readings,
  open: readonly OpenAlert[],
  window: JudgedWindow,
): OpenAlert[] {
  const inputs = wrong.filter(({ monitor }) => isAboutInputs(monitor));
  const watched = [...new Set(measured.filter(({ monitor }) => isAboutInputs(monitor)).map(({ subject }) => subject))];
  // Inputs that are wrong already may well be why answers are.
  const known = [...new Set(open.filter(({ monitor }) => isAboutInputs(monitor)).flatMap(({ causes }) => causes))];
  const others = wrong
    .filter(({ monitor }) => !isAboutInputs(monitor))
    .map((one) => ({ causes: one.monitor === "performance" ? known : [], members: [one] }));
  const ids = new Set<string>();
  return [...groupByCause(inputs, watched, window.sources), ...others].map(({ causes, members }) => {
    const monitor = members.find((one) => one.monitor !== "drift")?.monitor ?? "drift";
    const first = `${window.app}-${monitor}-${window.toMs}`;
    const id = ids.has(first) ? `${first}-${ids.size}` : first;
    ids.add(id);
    const seen = members.flatMap((one) => (readings[nameOf(one)] ?? []).filter(isElevated));
    return {
      id,
      monitor,
      modelVersion: window.modelVersion,
      causes,
      members: members.map(nameOf),
      quiet: 0,
      openedAtMs: window.toMs,
      sinceMs: Math.min(window.fromMs, ...seen.map(({ fromMs }) => fromMs)),
      evidence: members.toSorted(byEffect),
    };
  });
}

function changeOf(state: "open" | "updated", alert: OpenAlert, { app, toMs }: JudgedWindow): AlertChange {
  const { id, monitor, openedAtMs, modelVersion, evidence, sinceMs, causes } = alert;
  return {
    id,
    monitor,
    state,
    severity: severityOf(monitor, evidence),
    title: titleOf(monitor, evidence, { app, modelVersion, sinceMs }),
    advice: adviceOf(monitor, evidence, causes),
    causes,
    evidence,
    openedAtMs,
    changedAtMs: toMs,
    modelVersion,
  };
}

function resolved(alert: OpenAlert, why: string, window: JudgedWindow): AlertChange {
  const last = changeOf("updated", alert, window);
  return { ...last, state: "resolved", title: resolvedTitle(last.title, why), advice: "Nothing to do." };
}

const byEffect = (a: Evidence, b: Evidence): number => b.value / b.limit - a.value / a.limit;

/** Something that was not told yet, or a worst effect that is much larger than was told: not every rise and fall. */
function isNews(alert: OpenAlert, now: readonly Evidence[]): boolean {
  const known = new Set(alert.members.map(subjectOf));
  if (now.some(({ subject }) => !known.has(subject))) return true;
  const worst = (evidence: readonly Evidence[]): number =>
    Math.max(...evidence.map(({ value, limit }) => value / limit));
  return worst(now) > WORTH_TELLING * worst(alert.evidence);
}

/** The subject in the name of a reading. */
const subjectOf = (member: string): string => member.split("/")[1] as string;

function withoutPictures(alert: OpenAlert): OpenAlert {
  return { ...alert, evidence: alert.evidence.map(({ picture: _picture, ...rest }) => rest) };
}
