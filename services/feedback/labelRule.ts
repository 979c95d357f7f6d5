import { timestampMs } from "@bufbuild/protobuf/wkt";
import { compileLabel, durationToMs, type Expression, REPORTED_LABEL, REPORTED_LABEL_FIELDS } from "@millrace/app";
import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { AcceptedEvent, Event, Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";

/** Who says so, the weakest first: of two labels about the same moment, the later source's counts. */
export const LABEL_SOURCES = ["event", "report", "review"] as const;
export type LabelSource = (typeof LABEL_SOURCES)[number];

/** What one label event says: the truth about everything that was predicted for `joinKey`. */
export interface Label {
  readonly joinKey: string;
  readonly eventId: string;
  readonly source: LabelSource;
  /** As the app's label expression has it; 0 or 1 where it is true or false. */
  readonly value: number;
  readonly occurredAtMs: number;
  readonly knownAtMs: number;
  readonly logSequence: bigint;
  readonly traceparent: string;
}

/**
 * Which labels can be the truth about a prediction made at T, in milliseconds of event time, by when they became known: those from T - early to
 * T + corrections. If the first of them was known by T + wait, the newest of them is the truth: the one that happened last; of those of one
 * moment, the one of the later source (`LABEL_SOURCES`), then the one that is later in the log. Without one in time there is no truth. So
 * it does not matter in which order predictions and labels arrive.
 */
export interface LabelWindow {
  readonly waitMs: number;
  readonly earlyMs: number;
  readonly correctionsMs: number;
}

/** For corrections that count whenever they come: longer than anybody keeps a prediction, and still a whole number. */
const ALWAYS_MS = 2 ** 50;

/** The window of an app's labels. */
export function labelWindow({ label }: App): LabelWindow {
  const waitMs = durationToMs(label?.wait) ?? 0;
  return {
    waitMs,
    earlyMs: durationToMs(label?.early) ?? waitMs,
    correctionsMs: durationToMs(label?.corrections) ?? ALWAYS_MS,
  };
}

/** How an app tells the truth: which event brings it, which field it is joined by, and what it says. */
export class LabelRule {
  readonly app: string;
  /** The event types that bring labels: the app's own, and that of reported ones when the app takes them. */
  readonly types: readonly string[];
  readonly window: LabelWindow;
  readonly #on: string;
  readonly #join: string;
  readonly #value: Expression;

  /** @throws `invalid_argument` for an app without a label that can be computed. */
  constructor(app: App) {
    this.app = app.app;
    this.#on = app.label?.on ?? "";
    this.types = [this.#on, ...Object.keys(app.events).filter((type) => type === REPORTED_LABEL)];
    this.#join = app.label?.join ?? "";
    this.window = labelWindow(app);
    this.#value = compileLabel(app, "label.value");
  }

  /** The label that an event brings; undefined when it lacks its key or what its value is computed from. */
  labelOf({ event, knownAt, logSequence, traceparent }: AcceptedEvent): Label | undefined {
    if (event?.occurredAt === undefined) return undefined;
    const joinKey = keyOf(event.fields[this.#join]);
    const occurredAtMs = timestampMs(event.occurredAt);
    const told = event.type === REPORTED_LABEL ? reported(event) : this.#observed(event, occurredAtMs);
    if (joinKey === undefined || told === undefined) return undefined;
    const knownAtMs = knownAt === undefined ? occurredAtMs : timestampMs(knownAt);
    return { joinKey, eventId: event.id, ...told, occurredAtMs, knownAtMs, logSequence, traceparent };
  }

  #observed({ type, fields }: Event, occurredAtMs: number): Pick<Label, "source" | "value"> | undefined {
    const value = type === this.#on ? this.#value.evaluate(fields, occurredAtMs) : undefined;
    return value === undefined ? undefined : { source: "event", value: Number(value) };
  }
}

function reported({ fields }: Event): Pick<Label, "source" | "value"> | undefined {
  const value = fields[REPORTED_LABEL_FIELDS.value]?.kind;
  const source = fields[REPORTED_LABEL_FIELDS.source]?.kind.value === "review" ? "review" : "report";
  return value?.case === "doubleValue" ? { source, value: value.value } : undefined;
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
