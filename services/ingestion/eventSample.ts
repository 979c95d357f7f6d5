import { MillraceError } from "@millrace/runtime";
import { AppDirectory } from "./appDirectory.ts";
import { type CheckedEvent, checkEvent } from "./checkedEvent.ts";
import type { TimeLimits } from "./checkTime.ts";
import { isObject, parseJson } from "./cloudEvents.ts";
import { hasExactTypes } from "./eventReader.ts";
import type { RawEvent } from "./rawEvent.ts";
import { SchemaSample } from "./schemaInference.ts";

/** Events are read as those of an app that nobody knows, so that no schema says what they are. */
const NO_APPS = new AppDirectory(() => Promise.resolve(undefined));
const ANY_TIME: TimeLimits = { nowMs: 0, keptFromMs: () => -Infinity };

/** What is wrong with an event beside its fields, which can be learned from all the same. */
const BESIDE_THE_FIELDS = new Set([
  "unknown_app",
  "missing_id",
  "bad_id",
  "missing_attribute",
  "unsupported_version",
  "wrong_type",
]);

const EVENTS_PER_TURN = 500;

/** Messages as ingestion reads them, added to a sample; and what was wrong with them, whatever the schema will say. */
export class EventSample {
  readonly schema = new SchemaSample();
  /** How many were added. */
  events = 0;
  /** Were not added: their fields could not be read. */
  unread = 0;
  #nextTurn = EVENTS_PER_TURN;
  readonly #wrong = new Map<string, number>();

  /** Adds the events of a message. */
  add(raw: RawEvent): void {
    for (const checked of checkEvent(raw, NO_APPS, ANY_TIME)) this.#addChecked(checked);
  }

  /** Whether it is time to let others have their turn: at most once in some milliseconds of work. */
  isTurnOver(): boolean {
    const read = this.events + this.unread;
    if (read < this.#nextTurn) return false;
    this.#nextTurn = read + EVENTS_PER_TURN;
    return true;
  }

  #addChecked(checked: CheckedEvent): void {
    if (checked.kind !== "rejected") return;
    const { event, violations, type, raw } = checked;
    for (const { reason, field } of violations) {
      if (reason !== "unknown_app") this.#note(field === reason ? reason : `${field} ${reason}`);
    }
    if (event === undefined || !violations.every(({ reason }) => BESIDE_THE_FIELDS.has(reason))) {
      this.unread += 1;
      return;
    }
    if (event.occurredAt === undefined) this.#note("occurred_at missing_occurred_at");
    this.events += 1;
    this.schema.add(type, event, hasExactTypes(raw));
  }

  #note(problem: string): void {
    const known = this.#wrong.get(problem);
    if (known !== undefined || this.#wrong.size < MOST_PROBLEMS) this.#wrong.set(problem, (known ?? 0) + 1);
  }

  /** `id missing_id 12`, the most frequent first; empty when nothing was wrong. */
  get wrong(): string[] {
    return [...this.#wrong]
      .sort(([, left], [, right]) => right - left)
      .map(([problem, count]) => `${problem} ${count.toLocaleString("en-US")}`);
  }
}

const MOST_PROBLEMS = 20;

/** How events that are given as JSON are to be read. */
export interface GivenFormat {
  /** The type of events that are only fields. */
  readonly type: string;
  /** The member of those that is the event's time; empty: they have none. */
  readonly timeField: string;
}

/**
 * A given JSON object as the message that its producer would send: a CloudEvent as it is, and fields as the data of one.
 *
 * @param number of the event among the given ones, for messages
 * @throws `invalid_argument` when it is only fields, and no type was named
 */
export function givenMessage(json: Uint8Array, { type, timeField }: GivenFormat, number: number): RawEvent {
  const read = parseJson(json);
  const value = "value" in read ? read.value : undefined;
  if (!isObject(value)) return cloudEvent(json, type);
  if ("specversion" in value) return cloudEvent(json, String(value.type));
  if (type === "") {
    throw new MillraceError(
      "invalid_argument",
      `event ${number} is no CloudEvent (it has no specversion), so its type has to be named: --type <event type>`,
    );
  }
  const { [timeField]: given, ...rest } = value;
  const [time, data] = timeField === "" ? [SOME_TIME, value] : [given, rest];
  const envelope = { specversion: "1.0", id: `given-${number}`, source: "/given", type, time };
  return cloudEvent(Buffer.from(JSON.stringify({ ...envelope, data })), type);
}

/** Of fields without a time, which say nothing of when their producer would say that they happened. */
const SOME_TIME = "1970-01-01T00:00:00Z";

const cloudEvent = (data: Uint8Array, type: string): RawEvent => ({
  subject: `events.given.${type}`,
  data,
  contentType: "application/cloudevents+json",
  traceparent: "",
  streamSequence: 0,
  place: 0,
});
