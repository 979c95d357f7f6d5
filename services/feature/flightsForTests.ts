import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { acceptedSubject, type Bus } from "@millrace/bus";
import type { ReadEvent } from "@millrace/features";
import {
  type AcceptedEvent,
  AcceptedEventSchema,
  type AcceptedEvents,
  AcceptedEventsSchema,
  type Value,
  ValueSchema,
} from "@millrace/proto/millrace/event/v1/event_pb.ts";

export const FLIGHTS_APP = `
app: flights
entities:
  origin: [origin]
  route: [origin, destination]
events:
  flight.scheduled:
    version: 1
    fields:
      flight_id: {type: STRING, required: true}
      origin: {type: STRING, required: true}
      destination: {type: STRING, required: true}
      distance: {type: DOUBLE}
  flight.landed:
    version: 1
    fields:
      flight_id: {type: STRING, required: true}
      origin: {type: STRING, required: true}
      destination: {type: STRING, required: true}
      delay: {type: DOUBLE, required: true}
prediction: {at: flight.scheduled}
features:
  departures_1h: {entity: origin, on: flight.scheduled, aggregate: COUNT, window: 1h, tile: 5m}
  delay_mean_6h: {entity: origin, on: flight.landed, aggregate: MEAN, value: event.delay, window: 6h, tile: 5m}
  delay_sd_6h: {entity: origin, on: flight.landed, aggregate: STDDEV, value: event.delay, window: 6h, tile: 15m}
  route_late_1d: {entity: route, on: flight.landed, aggregate: MEAN, value: event.delay >= 15.0, window: 1d, tile: 1h}
  route_last: {entity: route, on: flight.landed, aggregate: LAST, value: event.delay, window: 1d, tile: 1h}
  hour: {at_request: request.occurred_at.getHours()}
  distance: {at_request: request.distance}
label: {on: flight.landed, join: flight_id, value: event.delay >= 15.0, wait: 12h}
model: {task: BINARY, candidates: [LOGISTIC], metric: LOG_LOSS, holdout: 20%}
serving: {deadline: 50ms}
`;

export const START_MS = Date.UTC(2001, 0, 1);
const HOUR_MS = 3_600_000;

type Plain = Readonly<Record<string, string | number>>;

const fieldsOf = (plain: Plain): Record<string, Value> =>
  Object.fromEntries(
    Object.entries(plain).map(([name, value]) => [
      name,
      create(ValueSchema, {
        kind: typeof value === "string" ? { case: "stringValue", value } : { case: "doubleValue", value },
      }),
    ]),
  );

/** An accepted event without a place in the log. */
export function flightEvent(type: string, occurredAtMs: number, knownAtMs: number, plain: Plain): AcceptedEvent {
  return create(AcceptedEventSchema, {
    event: {
      id: `${type}/${plain["flight_id"]}`,
      app: "flights",
      type,
      occurredAt: timestampFromMs(occurredAtMs),
      fields: fieldsOf(plain),
    },
    knownAt: timestampFromMs(knownAtMs),
  });
}

/** An event as it is read from the log. */
export const asRead = (event: AcceptedEvent): ReadEvent => ({
  type: event.event?.type ?? "",
  fields: event.event?.fields ?? {},
  occurredAtMs: occurredAtMs(event),
  knownAtMs: knownAtMs(event),
  logSequence: Number(event.logSequence),
});

export const knownAtMs = ({ knownAt }: AcceptedEvent): number => (knownAt === undefined ? 0 : timestampMs(knownAt));

export const occurredAtMs = ({ event }: AcceptedEvent): number =>
  event?.occurredAt === undefined ? 0 : timestampMs(event.occurredAt);

/** Orders events by when they became known and numbers them, as the event log does. */
export function asLog(events: readonly AcceptedEvent[]): AcceptedEvent[] {
  const log = events.toSorted((left, right) => knownAtMs(left) - knownAtMs(right));
  log.forEach((event, index) => {
    event.logSequence = BigInt(index * 2 + 1);
  });
  return log;
}

/** `count` flights over `hours`, a tenth of whose events come up to two hours late. Repeatable. */
export function randomFlights(count: number, hours: number, seed = 1): AcceptedEvent[] {
  let state = seed;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const airport = (): string => ["ATL", "ORD", "DFW", "SFO", "B.S"][Math.floor(random() ** 2 * 5)] as string;
  const arrivalMs = (at: number): number => Math.floor(at + (random() < 0.1 ? random() * 2 * HOUR_MS : 0));
  const events = Array.from({ length: count }, (_, index) => {
    const flight = { flight_id: `F${index}`, origin: airport(), destination: airport() };
    const departure = START_MS + Math.floor(random() * hours * HOUR_MS);
    const delay = Math.round((random() ** 3 * 120 - 10) * 10) / 10;
    const landing = departure + Math.floor((1 + random() * 3) * HOUR_MS + delay * 60_000);
    return [
      flightEvent("flight.scheduled", departure, arrivalMs(departure), { ...flight, distance: 100 + index }),
      flightEvent("flight.landed", landing, arrivalMs(landing), { ...flight, delay }),
    ];
  });
  return asLog(events.flat());
}

/** Publishes a piece of the log as ingestion does: a batch for each type, the last of which closes the transaction. */
export async function publishAccepted(bus: Bus, events: readonly AcceptedEvent[], id = ""): Promise<number> {
  let sequence = 0;
  const types = [...Map.groupBy(events, ({ event }) => event?.type ?? "")];
  for (const [index, [type, ofType]] of types.entries()) {
    const batchId = `${id}flights/${type}/0/${ofType[0]?.logSequence}`;
    const batch: AcceptedEvents = create(AcceptedEventsSchema, { batchId, events: ofType });
    const last = events.at(-1);
    if (index === types.length - 1 && last !== undefined) batch.completeBefore = timestampFromMs(knownAtMs(last));
    const ack = await bus.publish(acceptedSubject("flights", type, 0), AcceptedEventsSchema, batch, { id: batchId });
    sequence = ack.seq;
  }
  return sequence;
}

/** Cuts the log into pieces of so many events. */
export function pieces<Item>(items: readonly Item[], size: number): Item[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
