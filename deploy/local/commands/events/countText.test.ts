import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { CountEventsResponseSchema } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { countText } from "./countText.ts";

test("what has become of events is told in all, then by type, reason and noise rule, the most first", () => {
  const counts = create(CountEventsResponseSchema, {
    accepted: { "flight.landed": 900n, "flight.scheduled": 1_100n },
    late: { "flight.landed": 12n },
    rejected: { too_long: 2n, field_out_of_range: 1_234n },
    duplicates: 7n,
    dropped: 95n,
    droppedByRule: { bots: 5n, sampled: 90n },
    keptByRule: { sampled: 10n, probes: 1n },
  });
  assert.equal(
    countText("flights", counts),
    `flights: 2,000 accepted (12 of them late), 1,236 rejected, 7 duplicates, 95 dropped as noise

accepted, by type  events  late
flight.scheduled    1,100     0
flight.landed         900    12

rejected, by reason  events
field_out_of_range    1,234
too_long                  2

noise, by rule  dropped  kept
sampled              90    10
bots                  5     0
probes                0     1`,
  );
});

test("counts of an app without events are one line, and what waits to be passed on is told", () => {
  const none = "0 accepted (0 of them late), 0 rejected, 0 duplicates, 0 dropped as noise";
  assert.equal(countText("new", create(CountEventsResponseSchema)), `new: ${none}`);
  const waiting = countText("new", create(CountEventsResponseSchema, { unpublished: 3n }));
  assert.equal(waiting, `new: ${none}, 3 stored and not yet passed on`);
});
