import type { Evidence, MonitorName } from "./judgement.ts";

export interface Circumstances {
  readonly app: string;
  readonly modelVersion: string;
  readonly sinceMs: number;
}

const MOST_NAMED = 3;
const MOSTLY_MISSING = 0.5;

/** One sentence for a person: what changed, by how much, since when. */
export function titleOf(monitor: MonitorName, evidence: readonly Evidence[], where: Circumstances): string {
  const since = `since ${momentOf(where.sinceMs)}`;
  const [first] = evidence;
  const { value = 0, limit = 0 } = first ?? {};
  switch (monitor) {
    case "drift":
      return `${named(evidence, psiOf)} of ${where.modelVersion} differ from its training set ${since}.`;
    case "data_quality":
      return `${named(evidence, gapOf)} more often missing than in the training set of ${where.modelVersion} ${since}.`;
    case "performance":
      return `The log loss of ${where.modelVersion} is ${fixed(value)} above what its holdout and its own probabilities promise (limit ${fixed(limit)}) ${since}.`;
    case "fallback":
      return `${percent(value)} of the predictions of ${where.app} were not answered by its champion (limit ${percent(limit)}) ${since}.`;
  }
}

export const resolvedTitle = (title: string, why: string): string => `Resolved, ${why}. It was: ${title}`;

/** What to look at or do next. */
export function adviceOf(monitor: MonitorName, evidence: readonly Evidence[]): string {
  const subjects = evidence.map(({ subject }) => subject).join(", ");
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

export function severityOf(monitor: MonitorName, evidence: readonly Evidence[]): "warning" | "critical" {
  if (monitor === "performance" || monitor === "fallback") return "critical";
  if (monitor === "data_quality") return evidence.some(({ value }) => value > MOSTLY_MISSING) ? "critical" : "warning";
  return "warning";
}

function named(evidence: readonly Evidence[], describe: (evidence: Evidence) => string): string {
  const shown = evidence.slice(0, MOST_NAMED).map((one) => `${one.subject} (${describe(one)})`);
  const rest = evidence.length - shown.length;
  if (rest > 0) shown.push(`${rest} more`);
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}

const psiOf = ({ value, limit }: Evidence): string => `PSI ${fixed(value)}, limit ${fixed(limit)}`;
const gapOf = ({ value }: Evidence): string => `by ${percent(value)} of the rows`;
const fixed = (value: number): string => value.toFixed(3);
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** `2001-02-03 06:00 UTC`. */
const momentOf = (milliseconds: number): string =>
  `${new Date(milliseconds).toISOString().slice(0, 16).replace("T", " ")} UTC`;
