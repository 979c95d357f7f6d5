import { toBinary } from "@bufbuild/protobuf";
import { type Event, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Violation } from "@millrace/runtime";
import { type FindSchema, type ReadCloudEvent, readStructured } from "./cloudEvents.ts";
import { readBinary } from "./cloudEventsBinary.ts";
import { MAX_EVENT_BYTES, MAX_EVENTS_PER_MESSAGE } from "./eventLimits.ts";
import { splitJsonArray } from "./jsonArray.ts";
import { decodeEvent, splitEvents } from "./protobufEvents.ts";
import type { RawEvent } from "./rawEvent.ts";
import { show, violation } from "./violation.ts";

/** One event of a message, read but not judged. */
export interface ReceivedEvent {
  /** The message; or, of a message with several events, this one alone, in a format in which it can be sent again. */
  readonly raw: RawEvent;
  /** Undefined when it cannot be decoded. */
  readonly event: Event | undefined;
  /** An encoded Event. */
  readonly bytes: Uint8Array;
  /** What could not be read. */
  readonly violations: readonly Violation[];
}

const NO_BYTES = new Uint8Array();
const NO_VIOLATIONS: readonly Violation[] = [];

const EVENT_TYPE = "application/protobuf";
const CLOUD_EVENT_TYPE = "application/cloudevents+json";
const BATCH_TYPE = "application/cloudevents-batch+json";

type Format = "event" | "events" | "structured" | "structured batch" | "binary";

/** Reads the events of a message by its content type. A message that cannot be read at all is one event that cannot. */
export function readMessage(raw: RawEvent, app: string, findSchema: FindSchema): ReceivedEvent[] {
  switch (formatOf(raw)) {
    case "event":
      return [readEvent(raw)];
    case "events":
      return readParts(raw, splitEvents(raw.data), EVENT_TYPE, readEvent);
    case "structured":
      return [readOne(raw, app, findSchema)];
    case "structured batch":
      return readParts(raw, splitJsonArray(raw.data) ?? NOT_AN_ARRAY, CLOUD_EVENT_TYPE, (part) =>
        readOne(part, app, findSchema),
      );
    case "binary":
      return [checkSize(raw) ?? received(raw, readBinary(raw, app, findSchema))];
    default: {
      const known = `${EVENT_TYPE}, ${CLOUD_EVENT_TYPE} or ${BATCH_TYPE}, or the headers of a CloudEvent (ce-id, …)`;
      const description = `${show(raw.contentType)} is not read; send ${known}`;
      return [unreadable(raw, violation("content-type", "unsupported_content_type", description))];
    }
  }
}

const NOT_AN_ARRAY = violation("event", "malformed", `${BATCH_TYPE} is a JSON array of CloudEvents, which this is not`);

/** As the NATS binding of CloudEvents says, structured mode is told by the content type; only after that do `ce-` headers count. */
function formatOf({ contentType, attributes }: RawEvent): Format | undefined {
  // What nearly every message says.
  if (attributes === undefined && (contentType === EVENT_TYPE || contentType === "")) return "event";
  const [mediaType = "", ...parameters] = contentType.split(";").map((part) => part.trim().toLowerCase());
  if (mediaType === BATCH_TYPE) return "structured batch";
  if (mediaType === CLOUD_EVENT_TYPE || mediaType === "application/cloudevents") return "structured";
  if (attributes !== undefined) return "binary";
  if (mediaType !== EVENT_TYPE && mediaType !== "application/x-protobuf") return undefined;
  const typeName = parameters.find((parameter) => /^(proto|messagetype)=/.test(parameter))?.replace(/^\w+=/, "");
  switch (typeName?.replaceAll('"', "")) {
    case undefined:
    case "millrace.event.v1.event":
      return "event";
    case "millrace.event.v1.events":
      return "events";
    default:
      return undefined;
  }
}

/** Whether the types of an event's values are its producer's, as protobuf's are; those of JSON are up to the schema. */
export const hasExactTypes = (raw: RawEvent): boolean => ["event", "events"].includes(formatOf(raw) ?? "");

/** Reads each part of a message as if it had come alone. */
function readParts(
  raw: RawEvent,
  parts: readonly Uint8Array[] | Violation,
  contentType: string,
  read: (part: RawEvent) => ReceivedEvent,
): ReceivedEvent[] {
  if (!Array.isArray(parts)) return [unreadable(raw, parts as Violation)];
  if (parts.length === 0)
    return [unreadable(raw, violation("events", "empty_batch", "a batch has at least one event"))];
  if (parts.length > MAX_EVENTS_PER_MESSAGE) {
    const description = `a message may have ${MAX_EVENTS_PER_MESSAGE} events, not ${parts.length}: send several messages`;
    return [unreadable(raw, violation("events", "too_many_events", description))];
  }
  return parts.map((data: Uint8Array, place) => read({ ...raw, data, contentType, place, isPart: true }));
}

function readEvent(raw: RawEvent): ReceivedEvent {
  const tooLarge = checkSize(raw);
  if (tooLarge !== undefined) return tooLarge;
  const event = decodeEvent(raw.data);
  if (!("fields" in event)) return unreadable(raw, event);
  return { raw, event, bytes: raw.data, violations: NO_VIOLATIONS };
}

function readOne(raw: RawEvent, app: string, findSchema: FindSchema): ReceivedEvent {
  const tooLarge = checkSize(raw);
  if (tooLarge !== undefined) return tooLarge;
  const read = readStructured(raw.data, app, findSchema);
  return "event" in read ? received(raw, read) : unreadable(raw, read);
}

function received(raw: RawEvent, { event, violations, traceparent }: ReadCloudEvent): ReceivedEvent {
  // An event's own is more exact than that of the message which brought it.
  const traced = traceparent === "" ? raw : { ...raw, traceparent };
  const bytes = toBinary(EventSchema, event);
  return checkSize(traced, bytes.length) ?? { raw: traced, event, bytes, violations };
}

function checkSize(raw: RawEvent, bytes = raw.data.length): ReceivedEvent | undefined {
  if (bytes <= MAX_EVENT_BYTES) return undefined;
  const description = `${bytes} bytes are more than the ${MAX_EVENT_BYTES} that an event may have`;
  return unreadable(raw, violation("event", "too_large", description));
}

const unreadable = (raw: RawEvent, why: Violation): ReceivedEvent => ({
  raw,
  event: undefined,
  bytes: NO_BYTES,
  violations: [why],
});
