import type { Event } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Violation } from "@millrace/runtime";
import { violation } from "./violation.ts";

/** Seconds from 1970 to the year 10000. */
const END_SECONDS = 253_402_300_800;

/** Checks that an event says when it happened, and that this is a time that it can have happened at. */
export function checkTime({ occurredAt }: Event, futureMs: number, nowMs: number, violations: Violation[]): void {
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
  } else if (seconds * 1_000 + nanos / 1e6 > nowMs + futureMs) {
    const limit = `at most ${futureMs / 1_000} s after now (${new Date(nowMs).toISOString()}, ingestion.future)`;
    const description = `occurred_at must be ${limit}, not ${new Date(seconds * 1_000 + Math.floor(nanos / 1e6)).toISOString()}`;
    violations.push(violation("occurred_at", "future_dated", description));
  }
}
