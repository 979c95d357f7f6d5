import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import {
  type AcceptedEvent,
  AcceptedEventSchema,
  AcceptedEventsSchema,
  type Value,
} from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { ReadEventsResponseSchema } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { EventReader, type ReadEvent } from "./mod.ts";

function randomly(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const TEXTS = [
  "",
  "ORD",
  "LAX",
  "a",
  "ä",
  "日本",
  "x".repeat(16),
  "y".repeat(17),
  "__proto__",
  "constructor",
  "\u0000",
  "🛫🛬",
];
const INTEGERS = [0n, 1n, -1n, 127n, 128n, 2n ** 49n, 2n ** 53n + 1n, 2n ** 62n, -(2n ** 63n), 2n ** 63n - 1n];
const DOUBLES = [0, -0, 1.5, -1e300, Number.MAX_VALUE, 5e-324, Infinity, Number.NaN];

function randomEvent(random: (below: number) => number): AcceptedEvent {
  const pick = <Item>(items: readonly Item[]): Item => items[random(items.length)] as Item;
  const time = () => ({
    seconds: BigInt(pick([0, 1, 978_307_200, -5, 253_402_300_799])),
    nanos: pick([0, 1, 499_999, 500_000, 999_000_000]),
  });
  const fields: Record<string, { kind: Value["kind"] }> = {};
  const kinds: (() => Value["kind"])[] = [
    () => ({ case: "stringValue", value: pick(TEXTS) }),
    () => ({ case: "doubleValue", value: pick(DOUBLES) }),
    () => ({ case: "int64Value", value: pick(INTEGERS) }),
    () => ({ case: "boolValue", value: random(2) === 0 }),
    () => ({ case: "timestampValue", value: { $typeName: "google.protobuf.Timestamp", ...time() } }),
    () => ({ case: undefined }),
  ];
  for (let count = random(6); count > 0; count -= 1) {
    const name = pick(TEXTS);
    if (name !== "__proto__") fields[name] = { kind: pick(kinds)() };
  }
  const occurredAt = random(10) === 0 ? {} : { occurredAt: time() };
  return create(AcceptedEventSchema, {
    event: { id: pick(TEXTS), app: "app", type: pick(TEXTS), schemaVersion: random(3), ...occurredAt, fields },
    ...(random(10) === 0 ? {} : { knownAt: time() }),
    logSequence: BigInt(random(2 ** 31)) * 1_000n,
    traceparent: pick(TEXTS),
    late: random(2) === 0,
  });
}

/** What decoding the whole message says. */
function expected({ event, knownAt, logSequence }: AcceptedEvent): ReadEvent | undefined {
  if (event?.occurredAt === undefined) return undefined;
  const occurredAtMs = timestampMs(event.occurredAt);
  return {
    type: event.type,
    fields: event.fields,
    occurredAtMs,
    knownAtMs: knownAt === undefined ? occurredAtMs : Math.max(occurredAtMs, timestampMs(knownAt)),
    logSequence: Number(logSequence),
  };
}

const plain = ({ fields, ...rest }: ReadEvent): unknown => ({
  ...rest,
  fields: Object.entries(fields)
    .map(([name, { kind }]) => [name, kind.case, kind.value] as const)
    .sort(([left], [right]) => (left < right ? -1 : 1)),
});

test("it reads of random events exactly what decoding them whole says", () => {
  const reader = new EventReader();
  for (let seed = 1; seed <= 300; seed += 1) {
    const random = randomly(seed);
    const events = Array.from({ length: random(20) }, () => randomEvent(random));
    const read: unknown[] = [];
    const page = toBinary(ReadEventsResponseSchema, create(ReadEventsResponseSchema, { events }));
    reader.read(page, 1, (event) => read.push(plain(event)));
    const wanted = fromBinary(ReadEventsResponseSchema, page)
      .events.map(expected)
      .filter((event) => event !== undefined);
    assert.deepEqual(read, wanted.map(plain), `seed ${seed}`);
  }
});

test("it reads the batches of ACCEPTED, whose events have another number, and passes over the rest", () => {
  const event = { event: { type: "a", occurredAt: { seconds: 5n } }, logSequence: 7n };
  const batch = create(AcceptedEventsSchema, { batchId: "b", events: [event], completeBefore: { seconds: 9n } });
  const read: ReadEvent[] = [];
  new EventReader().read(toBinary(AcceptedEventsSchema, batch), 2, (one) => read.push(one));
  assert.deepEqual(read.map(plain), [
    plain({ type: "a", fields: {}, occurredAtMs: 5_000, knownAtMs: 5_000, logSequence: 7 }),
  ]);
});

test("bytes that are cut off or changed end in an error or in other events, never in a hang or a read beyond them", () => {
  const random = randomly(7);
  const events = Array.from({ length: 5 }, () => randomEvent(random));
  const page = toBinary(ReadEventsResponseSchema, create(ReadEventsResponseSchema, { events }));
  const reader = new EventReader();
  for (let length = 0; length < page.length; length += 1) {
    let count = 0;
    try {
      reader.read(page.subarray(0, length), 1, () => (count += 1));
    } catch {
      // As it should.
    }
    assert.ok(count < events.length);
  }
  for (let round = 0; round < 5_000; round += 1) {
    const changed = page.slice();
    changed[random(changed.length)] = random(256);
    try {
      reader.read(changed, 1, () => undefined);
    } catch {
      // As it may.
    }
  }
});
