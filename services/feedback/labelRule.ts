import { timestampMs } from "@bufbuild/protobuf/wkt";
import { compileLabel, durationToMs, type Expression } from "@millrace/app";
import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { AcceptedEvent, Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";

/** What one label event says: the truth about everything that was predicted for `joinKey`. */
export interface Label {
  readonly joinKey: string;
  readonly eventId: string;
  /** 0 or 1. */
  readonly value: number;
  readonly occurredAtMs: number;
  readonly knownAtMs: number;
  readonly logSequence: bigint;
  readonly traceparent: string;
}

/** How an app tells the truth: which event brings it, which field it is joined by, and what it says. */
export class LabelRule {
  readonly app: string;
  /** The event type that brings labels. */
  readonly on: string;
  readonly waitMs: number;
  readonly #join: string;
  readonly #value: Expression;

  /** @throws `invalid_argument` for an app without a label that can be computed. */
  constructor(app: App) {
    this.app = app.app;
    this.on = app.label?.on ?? "";
    this.#join = app.label?.join ?? "";
    this.waitMs = durationToMs(app.label?.wait) ?? 0;
    this.#value = compileLabel(app, "label.value");
  }

  /** The label that an event brings; undefined when it lacks its key or what its value is computed from. */
  labelOf({ event, knownAt, logSequence, traceparent }: AcceptedEvent): Label | undefined {
    if (event?.occurredAt === undefined || event.type !== this.on) return undefined;
    const joinKey = keyOf(event.fields[this.#join]);
    const occurredAtMs = timestampMs(event.occurredAt);
    const value = this.#value.evaluate(event.fields, occurredAtMs);
    if (joinKey === undefined || value === undefined) return undefined;
    const knownAtMs = knownAt === undefined ? occurredAtMs : timestampMs(knownAt);
    return { joinKey, eventId: event.id, value: Number(value), occurredAtMs, knownAtMs, logSequence, traceparent };
  }
}

/** A field as the text by which predictions are joined; the gateway writes it the same way. */
export function keyOf(value: Value | undefined): string | undefined {
  switch (value?.kind.case) {
    case "stringValue":
    case "boolValue":
    case "doubleValue":
    case "int64Value":
      return String(value.kind.value);
    case "timestampValue":
      return String(timestampMs(value.kind.value));
    default:
      return undefined;
  }
}

/**
 * The newest label of each key. A correction is the event that happened later, or, at the same time, came later: the same whatever the
 * order of arrival.
 */
export function newestPerKey(labels: Iterable<Label>): Label[] {
  const newest = new Map<string, Label>();
  for (const label of labels) {
    const other = newest.get(label.joinKey);
    if (other === undefined || isNewer(label, other)) newest.set(label.joinKey, label);
  }
  return [...newest.values()];
}

function isNewer(label: Label, other: Label): boolean {
  if (label.occurredAtMs !== other.occurredAtMs) return label.occurredAtMs > other.occurredAtMs;
  return label.logSequence > other.logSequence;
}
