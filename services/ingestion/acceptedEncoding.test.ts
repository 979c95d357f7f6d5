import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { AcceptedEventsSchema, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { AcceptedEncoder, encodeBatch } from "./acceptedEncoding.ts";

test("what is written by hand is what the protobuf library writes", () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const expected = create(AcceptedEventsSchema, { batchId: `app/${"long.".repeat(40)}/0/1` });
  const encoder = new AcceptedEncoder(8);
  const sized: Uint8Array[] = [];
  for (const milliseconds of [0, 1, 999, 1_000, 979_084_800_000, 979_084_800_007, 253_402_300_799_999]) {
    for (const logSequence of [1, 127, 128, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER]) {
      for (const size of [1, 100, 200, 20_000]) {
        const late = size === 100;
        const event = create(EventSchema, { id: "x".repeat(size) });
        const offset = encoder.length;
        encoder.write(toBinary(EventSchema, event), milliseconds, logSequence, late ? traceparent : "", late);
        sized.push(Uint8Array.from(encoder.bytes.subarray(offset)));
        expected.events.push({
          $typeName: "millrace.event.v1.AcceptedEvent",
          event,
          knownAt: timestampFromMs(milliseconds),
          logSequence: BigInt(logSequence),
          traceparent: late ? traceparent : "",
          late,
        });
      }
    }
  }
  const bytes = encodeBatch(expected.batchId, sized);
  assert.deepEqual(fromBinary(AcceptedEventsSchema, bytes), expected);
  assert.ok(bytes.equals(toBinary(AcceptedEventsSchema, expected)));
});
