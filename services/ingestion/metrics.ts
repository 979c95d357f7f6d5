import { metrics } from "@opentelemetry/api";
import type { CheckedEvent } from "./checkedEvent.ts";

const meter = metrics.getMeter("@millrace/ingestion");

const accepted = meter.createCounter("millrace.ingestion.events.accepted", { description: "Events stored in the log" });
const late = meter.createCounter("millrace.ingestion.events.late", {
  description: "Accepted events that came later than the app's lateness limit",
});
const rejected = meter.createCounter("millrace.ingestion.events.rejected", {
  description: "Events on REJECTED, by reason",
});
const duplicates = meter.createCounter("millrace.ingestion.events.duplicates", {
  description: "Events whose id the log had already",
});
const dropped = meter.createCounter("millrace.ingestion.events.dropped", {
  description: "Events that the app calls noise",
});
const noise = meter.createCounter("millrace.ingestion.events.noise", {
  description: "Events that a noise rule is about, by app, rule and outcome: dropped or kept",
});
const batchSize = meter.createHistogram("millrace.ingestion.batch.size", { description: "Messages per transaction" });
const batchDuration = meter.createHistogram("millrace.ingestion.batch.duration", {
  description: "From a batch's first look to its publication",
  unit: "ms",
});

/** Counts what became of a batch. */
export function countBatch(figures: {
  readonly messages: number;
  readonly checked: readonly CheckedEvent[];
  readonly accepted: number;
  readonly late: number;
  readonly duplicates: number;
  readonly durationMs: number;
}): void {
  accepted.add(figures.accepted);
  late.add(figures.late);
  duplicates.add(figures.duplicates);
  for (const event of figures.checked) {
    if (event.kind === "dropped") {
      dropped.add(1);
      noise.add(1, { app: event.app, rule: event.rule, outcome: "dropped" });
    } else if (event.kind === "valid") {
      if (event.keptBy !== undefined) noise.add(1, { app: event.app, rule: event.keptBy, outcome: "kept" });
    } else rejected.add(1, { reason: event.violations[0]?.reason ?? "" });
  }
  batchSize.record(figures.messages);
  batchDuration.record(figures.durationMs);
}
