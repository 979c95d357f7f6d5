import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { EventType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Event, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { describeError, type Violation } from "@millrace/runtime";
import { valuesOf } from "./jsonValues.ts";
import type { Attributes } from "./rawEvent.ts";
import { parseTime } from "./timeText.ts";
import { show, violation } from "./violation.ts";

/** Finds the schema of an app's event type, by which a JSON number or text gets its type. */
export type FindSchema = (type: string) => EventType | undefined;

/** A CloudEvent as an Event, as far as it can be read, and what could not be. */
export interface ReadCloudEvent {
  readonly event: Event;
  readonly violations: readonly Violation[];
  /** Of the distributed tracing extension; empty when it has none. */
  readonly traceparent: string;
}

/**
 * Reads a CloudEvent 1.0 in structured mode (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md). The
 * members of its data are the event's fields.
 */
export function readStructured(bytes: Uint8Array, app: string, findSchema: FindSchema): ReadCloudEvent | Violation {
  const json = parseJson(bytes);
  if ("violation" in json) return json.violation;
  if (!isObject(json.value)) return violation("event", "malformed", "a CloudEvent is a JSON object");
  const { data, data_base64: base64, ...attributes } = json.value;
  return readCloudEvent(attributes, structuredData(data, base64), app, findSchema);
}

/** JSON data as it stands; `data_base64` holds the bytes of a JSON text. */
function structuredData(data: unknown, base64: unknown): Data {
  if (isAbsent(base64)) return { value: data };
  if (!isAbsent(data)) {
    return { violation: violation("data", "malformed", "has data and data_base64; an event has one of them") };
  }
  const bytes = typeof base64 === "string" && isBase64(base64) ? Buffer.from(base64, "base64") : undefined;
  if (bytes === undefined) {
    return { violation: violation("data_base64", "malformed", `must be base64 (RFC 4648), not ${show(base64)}`) };
  }
  const json = parseJson(bytes);
  return "violation" in json ? { violation: { ...json.violation, field: "data_base64" } } : json;
}

const isBase64 = (text: string): boolean => text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text);

/** An event's data, or why it cannot be read. */
export type Data = { readonly value: unknown } | { readonly violation: Violation };

/** Reads the attributes and the data of a CloudEvent, in whatever mode they came. Finds everything that is wrong with them. */
export function readCloudEvent(
  attributes: Attributes,
  data: Data,
  app: string,
  findSchema: FindSchema,
): ReadCloudEvent {
  const violations: Violation[] = [];
  const text = new TextAttributes(attributes, violations);
  const version = text.require("specversion");
  if (version !== "" && version !== "1.0") {
    violations.push(violation("specversion", "unsupported_version", `must be "1.0", not ${show(version)}`));
  }
  text.require("source");
  const type = text.require("type");
  const occurredAt = timeOf(text.get("time"), violations);
  checkDataContentType(text.get("datacontenttype"), violations);
  const event = create(EventSchema, {
    id: text.get("id"),
    app,
    type,
    schemaVersion: schemaVersionOf(attributes.schemaversion, violations),
    ...(occurredAt === undefined ? {} : { occurredAt }),
    fields: valuesOf(membersOf(data, violations), findSchema(type), violations),
  });
  return { event, violations, traceparent: text.get("traceparent") };
}

/** The attributes that are texts. An attribute that is null or empty is not there. */
class TextAttributes {
  readonly #attributes: Attributes;
  readonly #violations: Violation[];

  constructor(attributes: Attributes, violations: Violation[]) {
    this.#attributes = attributes;
    this.#violations = violations;
  }

  get(name: string): string {
    const value = this.#attributes[name];
    if (typeof value === "string") return value;
    if (!isAbsent(value)) this.#violations.push(violation(name, "wrong_type", `must be a text, not ${show(value)}`));
    return "";
  }

  require(name: string): string {
    const known = this.#violations.length;
    const text = this.get(name);
    if (text === "" && this.#violations.length === known) {
      const description = `${name} is required: an attribute that every CloudEvent has`;
      this.#violations.push(violation(name, "missing_attribute", description));
    }
    return text;
  }
}

function timeOf(text: string, violations: Violation[]): Timestamp | undefined {
  if (text === "") return undefined;
  const time = parseTime(text);
  if (time === undefined) {
    const description = `must be a time such as 2001-02-03T04:05:06.789Z (RFC 3339), not ${show(text)}`;
    violations.push(violation("time", "wrong_type", description));
  }
  return time;
}

function checkDataContentType(contentType: string, violations: Violation[]): void {
  if (contentType === "" || isJson(contentType)) return;
  const description = `the data must be JSON (application/json), not ${show(contentType)}`;
  violations.push(violation("datacontenttype", "unsupported_content_type", description));
}

/** Whether a media type is JSON (RFC 6838 §4.2.8: or has its suffix). */
export function isJson(contentType: string): boolean {
  const mediaType = contentType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  return mediaType === "application/json" || mediaType === "text/json" || mediaType.endsWith("+json");
}

/** An extension attribute: an integer, in headers and by some producers a text. 0, the newest, when it is not there. */
function schemaVersionOf(value: unknown, violations: Violation[]): number {
  if (isAbsent(value)) return 0;
  const version = typeof value === "string" && /^\d{1,10}$/.test(value) ? Number(value) : value;
  if (typeof version === "number" && Number.isInteger(version) && version >= 0 && version < 2 ** 31) return version;
  const description = `must be a whole number, the version of the type's schema, not ${show(value)}`;
  violations.push(violation("schemaversion", "wrong_type", description));
  return 0;
}

function membersOf(data: Data, violations: Violation[]): Readonly<Record<string, unknown>> {
  if ("violation" in data) {
    violations.push(data.violation);
    return {};
  }
  if (isAbsent(data.value)) return {};
  if (isObject(data.value)) return data.value;
  const description = `must be a JSON object with the event's fields, not ${show(JSON.stringify(data.value))}`;
  violations.push(violation("data", "malformed", description));
  return {};
}

const decoder = new TextDecoder("utf-8", { fatal: true });

/** Parses a JSON text in UTF-8. */
export function parseJson(bytes: Uint8Array): Data {
  try {
    return { value: JSON.parse(decoder.decode(bytes)) as unknown };
  } catch (error) {
    return {
      violation: violation("event", "malformed", `${bytes.length} bytes are not JSON: ${describeError(error)}`),
    };
  }
}

const isAbsent = (value: unknown): value is null | undefined | "" =>
  value === undefined || value === null || value === "";

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
