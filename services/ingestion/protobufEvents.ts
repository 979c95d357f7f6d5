import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { type Event, EventSchema, EventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { describeError, type Violation } from "@millrace/runtime";

/** Decodes an Event, or says why it cannot be decoded. */
export function decodeEvent(bytes: Uint8Array): Event | Violation {
  try {
    return fromBinary(EventSchema, bytes);
  } catch (error) {
    return malformed(bytes, EventSchema.typeName, error);
  }
}

/** Cuts an Events into its events, undecoded, so that a bad one among them spoils no other; or says why it cannot be cut. */
export function splitEvents(bytes: Uint8Array): Uint8Array[] | Violation {
  const events: Uint8Array[] = [];
  try {
    const reader = new BinaryReader(bytes);
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === EventsSchema.field.events.number && wireType === WireType.LengthDelimited) {
        events.push(reader.bytes());
      } else reader.skip(wireType, field);
    }
    return events;
  } catch (error) {
    return malformed(bytes, EventsSchema.typeName, error);
  }
}

function malformed(bytes: Uint8Array, typeName: string, error: unknown): Violation {
  const description = `${bytes.length} bytes are not a ${typeName}: ${describeError(error)}`;
  return { field: "event", reason: "malformed", description };
}
