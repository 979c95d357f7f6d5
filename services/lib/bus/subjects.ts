/** Every subject of the bus. App names, event types and words hold no spaces or wildcards: the app's schema sees to that. */

export const eventSubject = (app: string, type: string): string => `events.${app}.${type}`;

/** Where accepted events of a type go. An event type may have dots, so it takes several tokens; the partition is the last. */
export const acceptedSubject = (app: string, type: string, partition: number): string =>
  `accepted.${app}.${type}.${partition}`;

export const qualitySubject = (app: string): string => `quality.${app}`;
export const predictionSubject = (app: string): string => `predictions.${app}`;
export const outcomeSubject = (app: string): string => `outcomes.${app}`;
export const labelQualitySubject = (app: string): string => `labels.${app}`;
export const reviewSubject = (app: string): string => `feedback.review.${app}`;
export const trainingJobSubject = (app: string): string => `training.jobs.${app}`;
/** Jobs for a trainer outside of Millrace, and what it answers. */
export const trainerJobSubject = (trainer: string): string => `trainers.jobs.${trainer}`;
export const trainerResultSubject = (trainer: string): string => `training.results.${trainer}`;
export const modelSubject = (app: string, what: string): string => `models.${app}.${what}`;
export const alertSubject = (app: string, monitor: string): string => `alerts.${app}.${monitor}`;

/**
 * Where a message that cannot be handled goes: `events.<app>.<type>` becomes `rejected.<app>.<type>`, and any other
 * `<stream>.<rest>` becomes `rejected.<rest>.<stream>`.
 */
export function rejectedSubject(subject: string): string {
  const [first = "", ...rest] = subject.split(".");
  if (rest.length === 0) return `rejected.unknown.${first || "unknown"}`;
  return first === "events" ? `rejected.${rest.join(".")}` : `rejected.${rest.join(".")}.${first}`;
}

/** The KV bucket of an app's online features. */
export const featureBucket = (app: string): string => `features_${app}`;
