import type { Event } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Violation } from "@millrace/runtime";
import type { IngestedApp } from "./appDirectory.ts";
import { violation } from "./violation.ts";

/** Seconds from 1970 to the year 10000. */
const END_SECONDS = 253_402_300_800;

/** Between which times events may have happened, milliseconds since 1970. */
export interface TimeLimits {
  /** The wall clock. */
  readonly nowMs: number;
  /** From when on the event log keeps an app's events; -Infinity when it keeps all. */
  keptFromMs(app: string): number;
}

/** Checks that an event says when it happened, and that this is a time that it can have happened at. */
export function checkTime(
  { occurredAt }: Event,
  { name, futureMs }: Pick<IngestedApp, "name" | "futureMs">,
  limits: TimeLimits,
  violations: Violation[],
): void {
  if (occurredAt === undefined) {
    const description = "occurred_at is required: when the event happened";
    violations.push(violation("occurred_at", "missing_occurred_at", description));
    return;
  }
  const seconds = Number(occurredAt.seconds);
  const { nanos } = occurredAt;
  if (seconds < 0 || seconds >= END_SECONDS || nanos < 0 || nanos > 999_999_999) {
    const description = `occurred_at must be from 1970 to 9999, not ${seconds} s and ${nanos} ns after 1970`;
    violations.push(violation("occurred_at", "occurred_at_out_of_range", description));
    return;
  }
  const { nowMs } = limits;
  const atMs = seconds * 1_000 + Math.floor(nanos / 1e6);
  // In whole milliseconds, like the limits: a double does not hold a time's nanoseconds.
  if (seconds * 1_000 + Math.ceil(nanos / 1e6) > nowMs + futureMs) {
    const limit = `at most ${futureMs / 1_000} s after now (${show(nowMs)}, ingestion.future)`;
    violations.push(violation("occurred_at", "future_dated", `occurred_at must be ${limit}, not ${show(atMs)}`));
  }
  const keptFromMs = limits.keptFromMs(name);
  if (atMs < keptFromMs) {
    const limit = `${show(keptFromMs)} or later, from when on the event log is kept (INGESTION_RETENTION_DAYS)`;
    violations.push(violation("occurred_at", "beyond_retention", `occurred_at must be ${limit}, not ${show(atMs)}`));
  }
}

const show = (ms: number): string => new Date(ms).toISOString();
