import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type EventType, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Event, EventSchema, type Value, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { describeError, type Violation } from "@millrace/runtime";

/** An event as it came in: decoded, and as protobuf bytes. */
export interface ReceivedEvent {
  readonly event: Event;
  readonly bytes: Uint8Array;
}

/** Finds the schema of an event type, by which a JSON number or text gets its type. */
export type FindSchema = (app: string, type: string) => EventType | undefined;

/** Reads a message's bytes by its content type; a violation says why they cannot be read. */
export function readEvent(
  data: Uint8Array,
  contentType: string,
  app: string,
  findSchema: FindSchema,
): ReceivedEvent | Violation {
  const mediaType = contentType.split(";", 1)[0]?.trim().toLowerCase();
  switch (mediaType) {
    case "":
    case "application/protobuf":
    case "application/x-protobuf":
      return readProtobuf(data);
    case "application/cloudevents+json":
      return readCloudEvent(data, app, findSchema);
    default:
      return violation(
        "content-type",
        "unsupported_content_type",
        `${JSON.stringify(contentType)} is not read; send application/protobuf or application/cloudevents+json`,
      );
  }
}

function readProtobuf(data: Uint8Array): ReceivedEvent | Violation {
  try {
    return { event: fromBinary(EventSchema, data), bytes: data };
  } catch (error) {
    return violation(
      "event",
      "malformed",
      `${data.length} bytes are not a millrace.event.v1.Event: ${describeError(error)}`,
    );
  }
}

/** CloudEvents 1.0 in structured mode (https://github.com/cloudevents/spec, JSON event format); the data's members are the fields. */
function readCloudEvent(data: Uint8Array, app: string, findSchema: FindSchema): ReceivedEvent | Violation {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch (error) {
    return violation("event", "malformed", `${data.length} bytes are not JSON: ${describeError(error)}`);
  }
  if (!isObject(json)) return violation("event", "malformed", "a CloudEvent is a JSON object");
  const { specversion, id, type, time, schemaversion, data: fields } = json;
  if (specversion !== "1.0") {
    return violation("specversion", "malformed", `must be "1.0", not ${JSON.stringify(specversion)}`);
  }
  if (fields !== undefined && !isObject(fields)) {
    return violation(
      "data",
      "malformed",
      `must be a JSON object with the event's fields, not ${JSON.stringify(fields).slice(0, 80)}`,
    );
  }
  const occurredAt = typeof time === "string" ? parseTime(time) : undefined;
  if (time !== undefined && occurredAt === undefined) {
    return violation("time", "wrong_type", `must be a time such as 2001-02-03T04:05:06Z, not ${JSON.stringify(time)}`);
  }
  const typeName = typeof type === "string" ? type : "";
  const event = create(EventSchema, {
    id: typeof id === "string" ? id : "",
    app,
    type: typeName,
    schemaVersion: typeof schemaversion === "number" && Number.isInteger(schemaversion) ? schemaversion : 0,
    ...(occurredAt === undefined ? {} : { occurredAt }),
    fields: valuesOf(fields ?? {}, findSchema(app, typeName)),
  });
  return { event, bytes: toBinary(EventSchema, event) };
}

function valuesOf(fields: Readonly<Record<string, unknown>>, schema: EventType | undefined): Record<string, Value> {
  const values: Record<string, Value> = {};
  for (const [name, json] of Object.entries(fields)) {
    if (json === null) continue;
    const type = schema !== undefined && Object.hasOwn(schema.fields, name) ? schema.fields[name]?.type : undefined;
    values[name] = create(ValueSchema, { kind: kindOf(json, type) });
  }
  return values;
}

function kindOf(json: unknown, type: FieldType | undefined): Value["kind"] {
  if (typeof json === "boolean") return { case: "boolValue", value: json };
  if (typeof json === "number") {
    const whole = type === FieldType.INT64 && Number.isSafeInteger(json);
    return whole ? { case: "int64Value", value: BigInt(json) } : { case: "doubleValue", value: json };
  }
  if (typeof json === "string") {
    // As in protobuf's JSON, a text may carry an integer that a JSON number could not hold.
    if (type === FieldType.INT64 && /^-?\d{1,18}$/.test(json)) return { case: "int64Value", value: BigInt(json) };
    const time = type === FieldType.TIMESTAMP ? parseTime(json) : undefined;
    return time === undefined ? { case: "stringValue", value: json } : { case: "timestampValue", value: time };
  }
  return { case: "stringValue", value: JSON.stringify(json) };
}

function parseTime(text: string): Timestamp | undefined {
  if (!/^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(text)) return undefined;
  const milliseconds = Date.parse(text);
  return Number.isNaN(milliseconds) ? undefined : timestampFromMs(milliseconds);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const violation = (field: string, reason: string, description: string): Violation => ({ field, reason, description });
