import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { landedEvent, readFlights, scheduledEvent } from "@millrace/flight-delays";
import { type Value, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { roundUp } from "./fieldProposal.ts";
import { APP, number, START_MS, scheduled, text } from "./ingestionForTests.ts";
import type { RawEvent } from "./rawEvent.ts";
import { inferFrom, jsonMessage, lineOf, protobufMessage, violationsOf } from "./sampleForTests.ts";

const value = (kind: Value["kind"]): Value => create(ValueSchema, { kind });
const integer = (whole: bigint): Value => value({ case: "int64Value", value: whole });
const bool = (is: boolean): Value => value({ case: "boolValue", value: is });
const time = (ms: number): Value => value({ case: "timestampValue", value: timestampFromMs(ms) });

/** Protobuf events with a field of these values; undefined: without it. */
const protobuf = (values: readonly (Value | undefined)[]): RawEvent[] =>
  values.map((field) => protobufMessage(scheduled({ type: "thing.seen" }, field === undefined ? {} : { field })));
const json = (values: readonly unknown[]): RawEvent[] => values.map((field) => jsonMessage({ field }));

const repeat = <Item>(count: number, of: (index: number) => Item): Item[] =>
  Array.from({ length: count }, (_, index) => of(index));

const CASES: Readonly<Record<string, readonly [messages: readonly RawEvent[], expected: string]>> = {
  "whole JSON numbers are INT64": [
    json(repeat(1_000, (index) => index % 50)),
    "type: INT64, required: true, min: 0, max: 62",
  ],
  "JSON numbers of which one has decimals are DOUBLE": [
    json([...repeat(1_000, (index) => index % 50), 0.5]),
    "type: DOUBLE, required: true, min: 0, max: 62",
  ],
  "whole JSON numbers beyond 2^53 are DOUBLE, without a range": [
    json(repeat(30, (index) => 2 ** 60 + index * 1_000)),
    "type: DOUBLE, required: true",
  ],
  "whole numbers as texts beside numbers are INT64, as ingestion reads them": [
    json(repeat(100, (index) => (index % 2 === 0 ? index % 10 : String(index % 10)))),
    "type: INT64, required: true, min: 0, max: 18",
  ],
  "whole numbers as texts alone are texts": [
    json(repeat(100, (index) => String(10_000 + index * 731))),
    'type: STRING, required: true, pattern: "^[0-9]{1,8}$"',
  ],
  "whole protobuf doubles stay DOUBLE": [
    protobuf(repeat(1_000, (index) => number(index % 50))),
    "type: DOUBLE, required: true, min: 0, max: 62",
  ],
  "protobuf integers are INT64": [
    protobuf(repeat(1_000, (index) => integer(BigInt(index % 50) - 10n))),
    "type: INT64, required: true, min: -23, max: 52",
  ],
  "whole numbers that count up have no upper limit": [
    json(repeat(1_000, (index) => 70_000 + index)),
    "type: INT64, required: true, min: 0",
  ],
  "what was never positive stays so": [
    json(repeat(1_000, (index) => -1.5 - (index % 20))),
    "type: DOUBLE, required: true, min: -26, max: 0",
  ],
  "numbers that are always 0 have no upper limit": [json(repeat(30, () => 0)), "type: INT64, required: true, min: 0"],
  "JSON texts that are times are TIMESTAMP": [
    json(repeat(30, (index) => `2001-01-${String((index % 28) + 1).padStart(2, "0")}T00:00:00.5+01:00`)),
    "type: TIMESTAMP, required: true",
  ],
  "protobuf texts that are times stay STRING": [
    protobuf(repeat(30, () => text("2001-01-10T00:00:00Z"))),
    'type: STRING, required: true, pattern: "^[0-9]{4}-[0-9]{2}-[0-9]{2}[A-Z][0-9]{2}:[0-9]{2}:[0-9]{2}[A-Z]$"',
  ],
  "protobuf times are TIMESTAMP": [
    protobuf(repeat(30, (index) => time(START_MS + index))),
    "type: TIMESTAMP, required: true",
  ],
  "true and false are BOOL": [json(repeat(30, (index) => index % 2 === 0)), "type: BOOL, required: true"],
  "protobuf's too": [protobuf(repeat(30, (index) => bool(index % 2 === 0))), "type: BOOL, required: true"],
  "a few texts that come often are named": [
    json(repeat(200, (index) => ["on time", "late", "cancelled"][index % 3])),
    'type: STRING, required: true, allowed: ["cancelled", "late", "on time"]',
  ],
  "a text that came once is no rule": [
    json([...repeat(200, (index) => ["on time", "late"][index % 2]), "diverted"]),
    "type: STRING, required: true, max_length: 16",
  ],
  "texts that nearly all differ are not named": [
    json(repeat(200, (index) => `Passenger number ${index}`)),
    "type: STRING, required: true, max_length: 64",
  ],
  "a text that is always the same is no rule": [
    json(repeat(200, () => "on time")),
    "type: STRING, required: true, max_length: 16",
  ],
  "codes have a pattern": [
    json(repeat(200, (index) => `${String.fromCharCode(65 + (index % 26))}X${String.fromCharCode(65 + (index % 25))}`)),
    'type: STRING, required: true, pattern: "^[A-Z]{3}$"',
  ],
  "characters are counted, not code units": [
    json(repeat(30, () => "🛫".repeat(8))),
    "type: STRING, required: true, max_length: 16",
  ],
  "empty texts count as texts": [
    json(["", ...repeat(30, () => "note")]),
    "type: STRING, required: true, max_length: 16",
  ],
  "a field that is missing once, or null, is not required": [json([null, ...repeat(30, () => true)]), "type: BOOL"],
  "of a few events, nothing is required": [json(repeat(19, () => true)), "type: BOOL"],
};

for (const [name, [messages, expected]] of Object.entries(CASES)) {
  test(`a field's rules: ${name}`, () => {
    const { yaml } = inferFrom(messages);
    assert.equal(lineOf(yaml, "field"), expected, yaml);
    assert.deepEqual(violationsOf(yaml, messages), []);
  });
}

test("a field of two types is reported, with how many events its most frequent type would reject", () => {
  const messages = json([...repeat(70, (index) => `Gate ${index}`), ...repeat(30, (index) => index + 0.5)]);
  const { yaml } = inferFrom(messages);
  assert.match(
    yaml,
    /field: \{ type: STRING \} # 100 of 100; MIXED TYPES: 30 other numbers, 70 texts; as STRING, 30 would/,
  );
  assert.equal(violationsOf(yaml, messages).filter(({ reason }) => reason === "wrong_type").length, 30);
});

test("what a schema cannot have is a comment that says why, and such events pass", () => {
  const data = {
    "Flight-ID": 1,
    occurred_at: 2,
    constructor: 3,
    ["__proto__x"]: 4,
    list: [1, 2],
    good: true,
    null: "x",
  };
  const messages = repeat(30, () => jsonMessage(data));
  const { yaml } = inferFrom(messages);
  assert.match(yaml, /^ +# "Flight-ID" is not in the schema: 30 of 30; a name in the schema has small letters/m);
  assert.match(yaml, /^ +# "occurred_at" is not in the schema: 30 of 30; the name is reserved/m);
  assert.match(yaml, /^ +# "constructor" is not in the schema/m);
  assert.match(yaml, /^ +# "list" is not in the schema: 30 of 30; objects or lists/m);
  assert.match(yaml, /^ +"null": \{ type: STRING/m);
  assert.deepEqual(violationsOf(yaml, messages), []);
});

test("only texts that many events share are shown", () => {
  const messages = repeat(1_000, (index) =>
    jsonMessage({ mail: `someone${index}@example.org`, code: `${String.fromCharCode(65 + (index % 26))}${index % 2}` }),
  );
  const { yaml } = inferFrom(messages);
  assert.doesNotMatch(yaml, /someone/);
  assert.match(yaml, /code: .* 26 different, e\.g\. "A0"/);
});

test("what is wrong with events beside their fields is counted, and events that cannot be read are not learned from", () => {
  const messages = [
    ...repeat(30, () => jsonMessage({ good: 1 })),
    ...repeat(3, () => jsonMessage({ good: 1 }, "thing.seen", { id: "", time: undefined })),
    { ...jsonMessage({}), data: Buffer.from("{") },
    { ...jsonMessage({ bad: 1 }), subject: `events.${APP}.other` },
    ...repeat(2, () => jsonMessage({ good: 1 }, "Bad-Type")),
  ];
  const { sample, yaml } = inferFrom(messages);
  assert.deepEqual([sample.events, sample.unread], [35, 2]);
  assert.deepEqual(sample.wrong.toSorted(), [
    "event malformed 1",
    "id missing_id 3",
    "occurred_at missing_occurred_at 3",
    "type subject_mismatch 1",
  ]);
  assert.match(yaml, /# Left out: "Bad-Type" \(2 events\)/);
  assert.match(yaml, /good: .*# 33 of 33/);
  assert.doesNotMatch(yaml, /bad:/);
});

test("memory is bounded: types and fields beyond the limits are counted", () => {
  const { yaml, proposal } = inferFrom([
    ...repeat(102, (index) => jsonMessage({ good: 1 }, `type_${index}`)),
    ...repeat(10, (event) =>
      jsonMessage(Object.fromEntries(repeat(600, (field) => [`field_${event}_${field}`, field])), "type_0"),
    ),
  ]);
  assert.equal(proposal.types.length, 100);
  assert.match(yaml, /# Left out: 2 events of further types; only 100 types are looked at/);
  assert.match(yaml, /# Left out: 1100 values of further fields; only 5000 fields are looked at/);
});

test("limits are the next number of two digits", () => {
  for (const [given, expected] of [
    [6_202.5, 6_300],
    [62, 62],
    [1, 1],
    [0.000_123_4, 0.000_13],
    [9.91, 10],
    [99.1, 100],
    [1e300, 1e300],
    [2.000_000_1e-7, 2.1e-7],
  ] as const) {
    assert.equal(roundUp(given), expected);
  }
  assert.deepEqual([roundUp(3.01, true), roundUp(0.2, true), roundUp(61.3, true)], [4, 1, 62]);
  let state = 7;
  for (let round = 0; round < 20_000; round += 1) {
    state = (state * 48_271) % 2_147_483_647;
    const given = (state / 2_147_483_647) * 10 ** ((state % 40) - 20);
    const rounded = roundUp(given);
    assert.ok(rounded >= given && rounded <= given * 1.100_000_1, String(given));
  }
});

test("real flights: codes, distances, delays before and after the time, and what joins a landing with its flight", async () => {
  const flights = await readFlights(START_MS, START_MS + 86_400_000 / 2);
  const count = Math.min(flights.count, 4_000);
  const messages = repeat(count, (index) => [
    protobufMessage(scheduledEvent(flights, index)),
    protobufMessage(landedEvent(flights, index)),
  ]).flat();
  const { yaml, proposal } = inferFrom(messages);
  const landed = yaml.slice(yaml.indexOf("flight.landed"), yaml.indexOf("flight.scheduled:"));
  assert.equal(lineOf(landed, "origin"), 'type: STRING, required: true, pattern: "^[A-Z]{3}$"');
  assert.equal(lineOf(landed, "destination"), 'type: STRING, required: true, pattern: "^[A-Z]{3}$"');
  assert.match(lineOf(landed, "flight_id"), /^type: STRING, required: true, pattern: "\^\[A-Z\]\[0-9\]\{1,8\}\$"$/);
  assert.match(lineOf(landed, "distance"), /^type: DOUBLE, required: true, min: 0, max: \d{4}$/);
  assert.match(lineOf(landed, "delay"), /^type: DOUBLE, required: true, min: -\d{2,3}, max: \d{3,4}$/);
  assert.deepEqual(
    proposal.types.map(({ keys }) => keys),
    [
      ["origin", "destination"],
      ["origin", "destination"],
    ],
  );
  const [join, ...others] = proposal.joins;
  assert.deepEqual([join?.field, join?.types, others], ["flight_id", ["flight.landed", "flight.scheduled"], []]);
  assert.ok((join?.shared ?? 0) > 0.9);
  assert.deepEqual(violationsOf(yaml, messages), []);
});
