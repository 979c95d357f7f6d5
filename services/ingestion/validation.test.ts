import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EventTypeSchema, type FieldSchema, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Event, EventSchema, type Value, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { Violation } from "@millrace/runtime";
import { appsOf, brokenBy, check, checkRejected, checkValid } from "./checkForTests.ts";
import { FLIGHTS, NOW_MS, number, scheduled, text } from "./ingestionForTests.ts";
import { compileSchema } from "./validation.ts";

const { STRING, DOUBLE, INT64, BOOL, TIMESTAMP } = FieldType;

type Kind = Value["kind"];
const string = (value: string): Kind => ({ case: "stringValue", value });
const double = (value: number): Kind => ({ case: "doubleValue", value });
const int64 = (value: bigint): Kind => ({ case: "int64Value", value });
const bool = (value: boolean): Kind => ({ case: "boolValue", value });
const time = (ms: number): Kind => ({ case: "timestampValue", value: timestampFromMs(ms) });
const missing: Kind = { case: undefined };

/** The violations of a value by a field's rules. */
function violationsOf(field: MessageInitShape<typeof FieldSchema>, kind: Kind): Violation[] {
  const schema = compileSchema(create(EventTypeSchema, { version: 1, fields: { x: field } }));
  const violations: Violation[] = [];
  schema.check({ x: create(ValueSchema, { kind }) }, violations);
  return violations;
}

const GOOD: readonly (readonly [MessageInitShape<typeof FieldSchema>, Kind])[] = [
  [{ type: STRING }, missing],
  [{ type: DOUBLE, min: 1, pattern: "" }, missing],
  [{ type: STRING, required: true }, string("")],
  [{ type: STRING, maxLength: 3 }, string("abc")],
  // Characters, not code units.
  [{ type: STRING, maxLength: 3 }, string("😀😀😀")],
  [{ type: STRING, maxLength: 0 }, string("")],
  [{ type: STRING, pattern: "[A-Z]{3}" }, string("JFK")],
  [{ type: STRING, pattern: "(?i)[a-z]+" }, string("JfK")],
  [{ type: STRING, allowed: ["a", "b"] }, string("b")],
  [{ type: DOUBLE, min: -1, max: 1 }, double(-1)],
  [{ type: DOUBLE, min: -1, max: 1 }, double(1)],
  [{ type: DOUBLE, min: 0 }, double(-0)],
  [{ type: DOUBLE }, double(Number.MAX_VALUE)],
  [{ type: INT64, min: -5, max: 5 }, int64(-5n)],
  [{ type: INT64, min: -5, max: 5 }, int64(5n)],
  [{ type: INT64, max: 2.5 }, int64(2n)],
  [{ type: INT64 }, int64(-(2n ** 63n))],
  [{ type: BOOL, required: true }, bool(false)],
  [{ type: TIMESTAMP, required: true }, time(0)],
];

test("values that keep their field's rules have no violation, at the edges too", () => {
  for (const [field, kind] of GOOD) assert.deepEqual(violationsOf(field, kind), []);
});

/** By type and rule: the reason, and what the message says. */
const BAD: readonly (readonly [MessageInitShape<typeof FieldSchema>, Kind, reason: string, description: string])[] = [
  ...[STRING, DOUBLE, INT64, BOOL, TIMESTAMP].map(
    (type) => [{ type, required: true }, missing, "missing_field", "fields.x is required"] as const,
  ),
  [{ type: STRING }, double(1), "wrong_type", "fields.x must be STRING, not DOUBLE (1)"],
  [{ type: STRING }, time(0), "wrong_type", "fields.x must be STRING, not TIMESTAMP (1970-01-01T00:00:00.000Z)"],
  [{ type: DOUBLE }, int64(1n), "wrong_type", "fields.x must be DOUBLE, not INT64 (1)"],
  [{ type: DOUBLE }, string("1"), "wrong_type", 'fields.x must be DOUBLE, not STRING ("1")'],
  [{ type: DOUBLE, unit: "mile" }, string("1"), "wrong_type", 'fields.x must be DOUBLE in mile, not STRING ("1")'],
  [{ type: INT64 }, double(1), "wrong_type", "fields.x must be INT64, not DOUBLE (1)"],
  [{ type: INT64 }, bool(true), "wrong_type", "fields.x must be INT64, not BOOL (true)"],
  [{ type: BOOL }, int64(1n), "wrong_type", "fields.x must be BOOL, not INT64 (1)"],
  [{ type: TIMESTAMP }, string("now"), "wrong_type", 'fields.x must be TIMESTAMP, not STRING ("now")'],
  [{ type: STRING, maxLength: 3 }, string("abcd"), "too_long", "fields.x must have at most 3 characters, not 4"],
  [{ type: STRING, maxLength: 2 }, string("😀😀😀"), "too_long", "fields.x must have at most 2 characters, not 3"],
  [{ type: STRING, maxLength: 0 }, string("a"), "too_long", "fields.x must have at most 0 characters, not 1"],
  [
    { type: STRING, pattern: "[A-Z]{3}" },
    string("JFKX"),
    "pattern_mismatch",
    'fields.x must match [A-Z]{3}, not "JFKX"',
  ],
  [{ type: STRING, pattern: "(?i)[a-z]+" }, string("1"), "pattern_mismatch", 'fields.x must match (?i)[a-z]+, not "1"'],
  [{ type: STRING, allowed: ["a", "b"] }, string("A"), "value_not_allowed", 'fields.x must be one of a, b, not "A"'],
  [
    { type: DOUBLE, min: 0, max: 9, unit: "mile" },
    double(-1),
    "field_out_of_range",
    "fields.x must be at least 0 mile, not -1",
  ],
  [
    { type: DOUBLE, max: 9, unit: "mile" },
    double(9.5),
    "field_out_of_range",
    "fields.x must be at most 9 mile, not 9.5",
  ],
  [{ type: DOUBLE, min: 0 }, double(-1), "field_out_of_range", "fields.x must be at least 0, not -1"],
  [
    { type: INT64, min: -5, unit: "seat" },
    int64(-6n),
    "field_out_of_range",
    "fields.x must be at least -5 seat, not -6",
  ],
  [{ type: INT64, max: 5 }, int64(6n), "field_out_of_range", "fields.x must be at most 5, not 6"],
  // Told apart although a double could not.
  [
    { type: INT64, max: 2 ** 53 },
    int64(2n ** 53n + 1n),
    "field_out_of_range",
    "fields.x must be at most 9007199254740992, not 9007199254740993",
  ],
  ...[Number.NaN, Infinity, -Infinity].map(
    (value) =>
      [
        { type: DOUBLE, min: 0, max: 9 },
        double(value),
        "field_out_of_range",
        `fields.x must be a finite number, not ${value}`,
      ] as const,
  ),
  [{ type: DOUBLE }, double(Infinity), "field_out_of_range", "fields.x must be a finite number, not Infinity"],
  [
    { type: DOUBLE, max: 9, unit: "mile" },
    double(Number.NaN),
    "field_out_of_range",
    "fields.x must be a finite number in mile, not NaN",
  ],
];

for (const [field, kind, reason, description] of BAD) {
  test(`a value is refused: ${description}`, () => {
    assert.deepEqual(violationsOf(field, kind), [{ field: "fields.x", reason, description }]);
  });
}

test("all rules that a text breaks are told", () => {
  const field = { type: STRING, maxLength: 2, pattern: "[a-z]+", allowed: ["a"] };
  const reasons = violationsOf(field, string("ABC")).map(({ reason }) => reason);
  assert.deepEqual(reasons, ["too_long", "value_not_allowed", "pattern_mismatch"]);
});

const message = (event: Event) => ({ data: toBinary(EventSchema, event) });

test("all violations of an event are told at once, in the same order however its fields are ordered", () => {
  const fields = { origin: text("jfk"), distance: number(-1), flight_id: number(1), zebra: number(1), apple: text("") };
  const apps = appsOf(FLIGHTS.replace("unknown_fields: KEEP", "unknown_fields: REJECT"));
  const expected = [
    "app subject_mismatch",
    "occurred_at future_dated",
    "fields.flight_id wrong_type",
    "fields.origin pattern_mismatch",
    "fields.destination missing_field",
    "fields.distance field_out_of_range",
    "fields.apple unknown_field",
    "fields.zebra unknown_field",
  ];
  const event = scheduled({ app: "other", occurredAt: timestampFromMs(NOW_MS + 86_400_000) });
  for (const entries of [Object.entries(fields), Object.entries(fields).reverse()]) {
    event.fields = Object.fromEntries(entries);
    assert.deepEqual(brokenBy(checkRejected(message(event), apps)), expected);
  }
});

test("an event may be ahead of the clock by the app's limit, to the nanosecond", () => {
  const apps = appsOf(FLIGHTS.replace("future: 5m", "future: 90s"));
  const at = (ms: number, nanos = 0): Event => {
    const occurredAt = timestampFromMs(ms);
    return scheduled({ occurredAt: { ...occurredAt, nanos: occurredAt.nanos + nanos } });
  };
  checkValid(message(at(NOW_MS + 90_000)), apps);
  const rejected = checkRejected(message(at(NOW_MS + 90_000, 1)), apps);
  assert.deepEqual(brokenBy(rejected), ["occurred_at future_dated"]);
  assert.match(rejected.violations[0]?.description ?? "", /at most 90 s after now \(2001-06-01T00:00:00.000Z/);
  // The same event, later.
  checkValid(message(at(NOW_MS + 90_000, 1)), apps, NOW_MS + 1);
  // An app that says nothing allows five minutes.
  const silent = appsOf(FLIGHTS.replace("future: 5m", ""));
  checkValid(message(at(NOW_MS + 300_000)), silent);
  checkRejected(message(at(NOW_MS + 300_001)), silent);
});

test("fields that the schema does not name are kept as they came, or left out, or each is refused", () => {
  const event = scheduled({}, { gate: text("B4"), pilot: text("A") });
  const under = (policy: string) => appsOf(FLIGHTS.replace("unknown_fields: KEEP", `unknown_fields: ${policy}`));
  const kept = checkValid(message(event), under("KEEP"));
  assert.deepEqual(kept.bytes, toBinary(EventSchema, event));
  const { gate: _, pilot: __, ...known } = event.fields;
  const dropped = checkValid(message(event), under("DROP"));
  assert.deepEqual(dropped.bytes, toBinary(EventSchema, { ...event, fields: known }));
  const refused = checkRejected(message(event), under("REJECT"));
  assert.deepEqual(brokenBy(refused), ["fields.gate unknown_field", "fields.pilot unknown_field"]);
});

test("a schema is compiled when its version is adopted, and not looked at when events are checked", () => {
  let looks = 0;
  const fields = {
    origin: { type: STRING, required: true, pattern: "[A-Z]{3}", maxLength: 3 },
    x: { type: DOUBLE, min: 0 },
  };
  const schema = create(EventTypeSchema, { version: 1, fields });
  for (const [name, field] of Object.entries(schema.fields)) {
    schema.fields[name] = new Proxy(field, {
      get: (target, key, receiver) => {
        looks += 1;
        return Reflect.get(target, key, receiver) as unknown;
      },
    });
  }
  const compiled = compileSchema(schema);
  const whileCompiling = looks;
  assert.ok(whileCompiling > 0);
  for (let index = 0; index < 100; index += 1) {
    const violations: Violation[] = [];
    compiled.check({ origin: text(index % 2 === 0 ? "JFK" : "jfkx"), x: number(-index) }, violations);
    assert.ok(compiled.knowsAll({ origin: text("") }) && !compiled.knowsAll({ gate: text("") }));
  }
  assert.equal(looks, whileCompiling);
});

test("an app's schemas stay compiled for as long as its version does", () => {
  const apps = appsOf();
  const compiled = () => apps.get("flight-delays")?.types.get("flight.scheduled")?.newest;
  const before = compiled();
  for (let index = 0; index < 10; index += 1) check(message(scheduled()), apps);
  assert.ok(before !== undefined && compiled() === before);
});
