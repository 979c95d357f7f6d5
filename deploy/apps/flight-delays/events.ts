import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Event, EventSchema, type ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Flights } from "./flights.ts";

export const APP = "flight-delays";

const MINUTE_MS = 60_000;
/** Taxiing, climbing and descending. */
const GROUND_MINUTES = 30;
const MILES_PER_MINUTE = 480 / 60;
/** A flight is late when it arrives so many minutes after its time, as in the app's label. */
export const LATE_MINUTES = 15;

type Fields = Record<string, MessageInitShape<typeof ValueSchema>>;

const text = (value: string): Fields[string] => ({ kind: { case: "stringValue", value } });
const number = (value: number): Fields[string] => ({ kind: { case: "doubleValue", value } });

/** Names a flight: `F` and its row in the data. */
export const flightId = (flights: Flights, index: number): string => `F${flights.firstRow + index}`;

/**
 * When a flight lands: scheduled departure + 30 min + distance at 480 mph + delay, and never before its departure. So truth comes late and
 * out of order, as in life.
 */
export function landingMs({ departureMs, distanceMiles, delayMinutes }: Flights, index: number): number {
  const minutes =
    GROUND_MINUTES + (distanceMiles[index] as number) / MILES_PER_MINUTE + (delayMinutes[index] as number);
  return (departureMs[index] as number) + Math.max(0, Math.round(minutes * MINUTE_MS));
}

/** What is known at departure: the request of a prediction. */
export function requestFields(flights: Flights, index: number): Fields {
  return {
    flight_id: text(flightId(flights, index)),
    origin: text(flights.origin[index] as string),
    destination: text(flights.destination[index] as string),
    distance: number(flights.distanceMiles[index] as number),
  };
}

/** `flight.scheduled`, at the scheduled departure. */
export function scheduledEvent(flights: Flights, index: number): Event {
  const occurredAtMs = flights.departureMs[index] as number;
  return event(
    "flight.scheduled",
    `${flightId(flights, index)}-scheduled`,
    occurredAtMs,
    requestFields(flights, index),
  );
}

/** `flight.landed`, at the landing, with the delay. */
export function landedEvent(flights: Flights, index: number): Event {
  const fields = { ...requestFields(flights, index), delay: number(flights.delayMinutes[index] as number) };
  return event("flight.landed", `${flightId(flights, index)}-landed`, landingMs(flights, index), fields);
}

function event(type: string, id: string, occurredAtMs: number, fields: Fields): Event {
  return create(EventSchema, {
    id,
    app: APP,
    type,
    schemaVersion: 1,
    occurredAt: timestampFromMs(occurredAtMs),
    fields,
  });
}
