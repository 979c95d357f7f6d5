import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Bus, eventSubject } from "@millrace/bus";
import { EventSchema, type ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";

export const APP = "flight-delays";

export type Fields = Record<string, MessageInitShape<typeof ValueSchema>>;

export const text = (value: string): Fields[string] => ({ kind: { case: "stringValue", value } });
export const number = (value: number): Fields[string] => ({ kind: { case: "doubleValue", value } });

/** The fields of a good flight from Chicago to Los Angeles, with some changes. */
export const flight = (id: string, changes: Fields = {}): Fields => ({
  flight_id: text(id),
  origin: text("ORD"),
  destination: text("LAX"),
  distance: number(1_745),
  ...changes,
});

export interface FlightEvent {
  readonly id: string;
  readonly type: string;
  readonly occurredAtMs: number;
  readonly fields: Fields;
  /** Default: the flights' own app. */
  readonly app?: string;
  /** A W3C traceparent; default: no trace. */
  readonly trace?: string;
}

/** Publishes an event as a producer does; answers its sequence in EVENTS. */
export async function publishEvent(
  bus: Bus,
  { id, type, occurredAtMs, fields, app = APP, trace = "" }: FlightEvent,
): Promise<number> {
  const occurredAt = timestampFromMs(occurredAtMs);
  const event = create(EventSchema, { id, app, type, schemaVersion: 1, occurredAt, fields });
  const { seq } = await bus.publish(eventSubject(app, type), EventSchema, event, { id, traceparent: trace });
  return seq;
}
