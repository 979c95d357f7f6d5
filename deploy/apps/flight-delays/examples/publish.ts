// Tells that a flight is scheduled. Usage: node deploy/apps/flight-delays/examples/publish.ts [flight id]
import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { connectBus, eventSubject } from "@millrace/bus";
import { EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { createLogger } from "@millrace/runtime";
import { producerBus } from "./endpoints.ts";

await using bus = await connectBus(producerBus(), "example", createLogger("example"));
const flightId = process.argv[2] ?? `UA-1234-${Date.now()}`;
const event = create(EventSchema, {
  // Publishing the same id again is harmless: it counts once.
  id: `${flightId}-scheduled`,
  app: "flight-delays",
  type: "flight.scheduled",
  schemaVersion: 1,
  occurredAt: timestampNow(),
  fields: {
    flight_id: { kind: { case: "stringValue", value: flightId } },
    origin: { kind: { case: "stringValue", value: "ORD" } },
    destination: { kind: { case: "stringValue", value: "LAX" } },
    distance: { kind: { case: "doubleValue", value: 1745 } },
  },
});
const { stream, seq, duplicate } = await bus.publish(eventSubject(event.app, event.type), EventSchema, event, {
  id: event.id,
});
console.log({ id: event.id, stream, sequence: seq, duplicate });
