import { importanceOf } from "./causes.ts";
import type { Evidence, MonitorName } from "./judgement.ts";
import { PREDICTION } from "./watchedModel.ts";

export interface Circumstances {
  readonly app: string;
  readonly modelVersion: string;
  readonly sinceMs: number;
}

const MOST_NAMED = 3;
/** An input whose importance is unknown is lost when it is missing in so many rows. */
const MOSTLY_MISSING = 0.5;
/** So much of what the inputs are worth to the model is lost where they are missing. */
const MUCH_LOST = 0.25;
/** So much of what the inputs are worth has moved. */
const MUCH_MOVED = 0.5;

/** One sentence for a person: what changed, by how much, since when. */
export function titleOf(monitor: MonitorName, evidence: readonly Evidence[], where: Circumstances): string {
  const since = `since ${momentOf(where.sinceMs)}`;
  const { value = 0, limit = 0 } = evidence[0] ?? {};
  switch (monitor) {
    case "drift":
    case "data_quality":
      return `${inputsTitle(monitor, evidence, where.modelVersion)} ${since}.`;
    case "performance":
      return `The log loss of ${where.modelVersion} is ${fixed(value)} above what its holdout and its own probabilities promise (limit ${fixed(limit)}) ${since}.`;
    case "fallback":
      return `${percent(value)} of the predictions of ${where.app} were not answered by its champion (limit ${percent(limit)}) ${since}.`;
  }
}

export const resolvedTitle = (title: string, why: string): string => `Resolved, ${why}. It was: ${title}`;

/** What to look at or do next, beginning with the likely cause. */
export function adviceOf(monitor: MonitorName, evidence: readonly Evidence[], causes: readonly string[]): string {
  const first = monitor === "performance" ? beside(causes) : likely(evidence, causes);
  return [first, worth(evidence), nextStep(monitor, evidence)].filter((text) => text !== "").join(" ");
}

export function severityOf(monitor: MonitorName, evidence: readonly Evidence[]): "warning" | "critical" {
  if (monitor === "performance" || monitor === "fallback") return "critical";
  if (monitor === "drift") {
    const answersToo = evidence.some(({ subject }) => subject === PREDICTION);
    return answersToo && importanceOf(evidence) >= MUCH_MOVED ? "critical" : "warning";
  }
  const gaps = of(evidence, "missing_increase");
  const lost = gaps.reduce((sum, { value, importance = 0 }) => sum + value * importance, 0);
  const unknown = gaps.some(({ value, importance }) => importance === undefined && value > MOSTLY_MISSING);
  return unknown || lost > MUCH_LOST ? "critical" : "warning";
}

function likely(evidence: readonly Evidence[], causes: readonly string[]): string {
  const inputs = inputsOf(evidence);
  if (causes.length === 0 || inputs.length === 0) return "";
  const made = inputs.length === 1 ? `${inputs[0]} is` : `All of ${listed(inputs)} are`;
  return `${made} made from ${causes.join(" and ")}: the likely cause is there.`;
}

const beside = (causes: readonly string[]): string =>
  causes.length === 0 ? "" : `There is an open alert about what is made from ${listed(causes)}: look there first.`;

function worth(evidence: readonly Evidence[]): string {
  const importance = importanceOf(evidence);
  if (importance === 0) return "";
  const inputs = inputsOf(evidence).length === 1 ? "This input carries" : "These inputs carry";
  return `${inputs} ${percent(importance)} of what all inputs are worth to the model.`;
}

function nextStep(monitor: MonitorName, evidence: readonly Evidence[]): string {
  const subjects = listed([...new Set(evidence.map(({ subject }) => subject))]);
  switch (monitor) {
    case "drift":
      return `Compare ${subjects} with the training set: if the world has changed, retrain; if a source has changed its meaning or unit, mend it there.`;
    case "data_quality":
      return `Look for the events behind ${subjects}: rejected events, a producer that has stopped, a field that is no longer sent.`;
    case "performance":
      return "Look for drift or missing inputs in the same windows; retrain, or roll back if it began with this version.";
    case "fallback":
      return "Look at the gateway's metrics: the reasons of fallbacks, circuit breakers, queue time, deadlines.";
  }
}

function inputsTitle(monitor: "drift" | "data_quality", evidence: readonly Evidence[], modelVersion: string): string {
  const gaps = of(evidence, "missing_increase");
  const unseen = of(evidence, "unseen_share");
  const shifts = of(evidence, "psi");
  const parts = [];
  if (gaps.length > 0)
    parts.push(`${named(gaps, gapOf)} more often missing than in the training set of ${modelVersion}`);
  if (unseen.length > 0)
    parts.push(`${named(unseen, unseenOf)} with values that ${modelVersion} never saw in training`);
  const shifted = `${named(shifts, psiOf)} of ${modelVersion} differ from its training set`;
  // Shifts are consequences of bad data, unless they are all that there is.
  if (shifts.length > 0 && monitor === "drift") parts.unshift(shifted);
  else if (parts.length === 0) parts.push(shifted);
  return parts.join("; ");
}

const of = (evidence: readonly Evidence[], statistic: Evidence["statistic"]): Evidence[] =>
  evidence.filter((one) => one.statistic === statistic);

const inputsOf = (evidence: readonly Evidence[]): string[] =>
  [...new Set(evidence.map(({ subject }) => subject))].filter((subject) => subject !== PREDICTION);

function named(evidence: readonly Evidence[], describe: (evidence: Evidence) => string): string {
  const shown = evidence.slice(0, MOST_NAMED).map((one) => `${one.subject} (${describe(one)})`);
  const rest = evidence.length - shown.length;
  return listed(rest > 0 ? [...shown, `${rest} more`] : shown);
}

const listed = (names: readonly string[]): string =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;

const psiOf = ({ value, limit }: Evidence): string => `PSI ${fixed(value)}, limit ${fixed(limit)}`;
const gapOf = ({ value }: Evidence): string => `by ${percent(value)} of the rows`;
const unseenOf = ({ value }: Evidence): string => `in ${percent(value)} of the rows`;
const fixed = (value: number): string => value.toFixed(3);
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** `2001-02-03 06:00 UTC`. */
const momentOf = (milliseconds: number): string =>
  `${new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ")} UTC`;
