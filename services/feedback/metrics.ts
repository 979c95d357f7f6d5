import { metrics } from "@opentelemetry/api";

const meter = metrics.getMeter("millrace.feedback");

const outcomes = meter.createCounter("millrace.feedback.outcomes", {
  description: "Predictions whose truth became known, corrections included",
});

/** Counts outcomes that are stored and published. */
export function countOutcomes(app: string, count: number): void {
  if (count > 0) outcomes.add(count, { "millrace.app": app });
}
