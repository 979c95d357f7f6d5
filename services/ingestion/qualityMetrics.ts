import { metrics } from "@opentelemetry/api";
import type { HourQuality } from "./hourQuality.ts";

const meter = metrics.getMeter("@millrace/ingestion");

const missing = meter.createCounter("millrace.ingestion.field.missing", {
  description: "Events without a field of their schema",
});
const violations = meter.createCounter("millrace.ingestion.field.violations", {
  description: "Rules that fields of the schema broke, by reason",
});

/** Counts what a batch showed of each field. Names are those of the schema: what strangers send makes no series. */
export function countQuality(hours: readonly HourQuality[]): void {
  for (const { app, type, fields } of hours) {
    for (const field of fields) {
      if (field.missing > 0) missing.add(field.missing, { app, type, field: field.name });
      for (const [reason, count] of field.violations) violations.add(count, { app, type, field: field.name, reason });
    }
  }
}
