import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { EventSchema, EventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { CheckedEvent } from "./checkedEvent.ts";
import { appsOf, check, SUBJECT } from "./checkForTests.ts";
import { scheduled, text } from "./ingestionForTests.ts";

const CLOUD_EVENT = `{"specversion":"1.0","id":"é€😀","source":"/s","type":"flight.scheduled","time":"2001-01-10T00:00:00.5Z",
  "schemaversion":1,"data":{"flight_id":"f1","origin":"JFK","destination":"SFO","distance":2.5e3,"crew":[{"a":null}]}}`;

/** Messages of every format, good as they are. */
const SEEDS: readonly (readonly [Uint8Array, Record<string, string>])[] = [
  [toBinary(EventSchema, scheduled({}, { note: text("é😀") })), {}],
  [
    toBinary(EventsSchema, create(EventsSchema, { events: [scheduled(), scheduled()] })),
    { "Content-Type": "application/protobuf; proto=millrace.event.v1.Events" },
  ],
  [Buffer.from(CLOUD_EVENT), { "Content-Type": "application/cloudevents+json" }],
  [Buffer.from(`[${CLOUD_EVENT},${CLOUD_EVENT}]`), { "Content-Type": "application/cloudevents-batch+json" }],
  [Buffer.from('{"flight_id":"f1","distance":1}'), { "ce-specversion": "1.0", "ce-id": "%C3%A9", "ce-type": "x" }],
];

/** A generator with a seed (mulberry32): the same messages in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below;
  };
}

/** Changes, removes, repeats or inserts some bytes. */
function damaged(bytes: Uint8Array, random: (below: number) => number): Uint8Array {
  let result = Buffer.from(bytes);
  for (let times = Math.floor(random(4)); times >= 0; times -= 1) {
    const at = Math.floor(random(result.length + 1));
    const until = Math.min(result.length, at + Math.floor(random(8)));
    const own = Buffer.from([Math.floor(random(256)), Math.floor(random(256))]);
    const inserted = [Buffer.alloc(0), own, result.subarray(at, until), own.subarray(1)][Math.floor(random(4))];
    result = Buffer.concat([result.subarray(0, at), inserted as Buffer, result.subarray(until)]);
  }
  return result;
}

/** What headers, JSON and the database can hold. */
const storable = (value: string): boolean => value.isWellFormed() && !/\p{Cc}/u.test(value);

function assertSound(event: CheckedEvent): void {
  if (event.kind === "valid") {
    assert.ok(storable(event.id));
    const { id, fields } = fromBinary(EventSchema, event.bytes);
    assert.deepEqual([id, Object.keys(fields).sort()], [event.id, Object.keys(event.event.fields).sort()]);
  } else if (event.kind === "rejected") {
    assert.ok(event.violations.length > 0 && storable(event.id ?? ""));
    for (const { field, reason, description } of event.violations) assert.ok(storable(field + reason + description));
  }
}

test("whatever bytes come, each event is accepted whole or rejected with a reason that can be kept", () => {
  const random = randomNumbers(1);
  const apps = appsOf();
  const kinds = new Map<string, number>();
  for (const [bytes, headers] of SEEDS) {
    for (let round = 0; round < 4_000; round += 1) {
      const events = check({ data: damaged(bytes, random), headers }, apps);
      assert.ok(events.length > 0);
      for (const event of events) {
        assertSound(event);
        kinds.set(event.kind, (kinds.get(event.kind) ?? 0) + 1);
      }
    }
  }
  assert.ok((kinds.get("valid") ?? 0) > 1_000 && (kinds.get("rejected") ?? 0) > 1_000, JSON.stringify([...kinds]));
});

test("whatever a subject or header holds, it can be kept", () => {
  for (const value of ["\u0000", "\ud800", "%00", "%ED%A0%80", '"', '"\\"', "%", "💥".repeat(400), "__proto__"]) {
    const headers = { "ce-id": value, "ce-type": value, "ce-time": value, "ce-schemaversion": value, "ce-x": value };
    const sent = [
      check({ data: "{}", headers }),
      check({ data: "{}", headers: { "Content-Type": value } }),
      check({ data: new Uint8Array(), subject: `events.${value}.${value}` }),
      check({ data: "{}", subject: SUBJECT, headers: { "ce-id": "1", "Content-Type": value } }),
    ];
    for (const event of sent.flat()) {
      assertSound(event);
      assert.ok(storable(event.app + event.type));
    }
  }
});
