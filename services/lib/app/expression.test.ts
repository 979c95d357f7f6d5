import assert from "node:assert/strict";
import { test } from "node:test";
import { type CelInput, celEnv, isCelError, parse, plan } from "@bufbuild/cel";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Field, FieldSchema, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Value, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { compileExpression, type ResultType } from "./expression.ts";

// The CEL library reads the parts of a date by way of the local time zone.
process.env["TZ"] = "UTC";

const FIELDS: Record<string, Field> = {
  delay: create(FieldSchema, { type: FieldType.DOUBLE }),
  distance: create(FieldSchema, { type: FieldType.DOUBLE }),
  seats: create(FieldSchema, { type: FieldType.INT64 }),
  stops: create(FieldSchema, { type: FieldType.INT64 }),
  cancelled: create(FieldSchema, { type: FieldType.BOOL }),
  origin: create(FieldSchema, { type: FieldType.STRING }),
  carrier: create(FieldSchema, { type: FieldType.STRING }),
  booked_at: create(FieldSchema, { type: FieldType.TIMESTAMP }),
};

const ANY: readonly ResultType[] = ["bool", "int", "double"];

const compile = (text: string, results = ANY) =>
  compileExpression(text, { variable: "event", fields: FIELDS, results, path: "here" });

/** A small generator of its own, so that a failure can be repeated. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

type Random = () => number;

const pick = <Item>(random: Random, items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item;

type Grammar = Record<string, (random: Random, depth: number) => string>;

/** Random well-typed expressions: for each type, its literals, fields, operators and functions. */
const GRAMMAR: Grammar = {
  double(random, depth) {
    if (depth === 0) return pick(random, ["event.delay", "event.distance", "15.0", "-2.5", "0.0"]);
    const inner = (type: string) => make(type, random, depth - 1);
    return pick(random, [
      () => `(${inner("double")} ${pick(random, ["+", "-", "*", "/"])} ${inner("double")})`,
      () => `(-${inner("double")})`,
      () => `double(${inner("int")})`,
      () => `(${inner("bool")} ? ${inner("double")} : ${inner("double")})`,
    ])();
  },
  int(random, depth) {
    if (depth === 0) return pick(random, ["event.seats", "event.stops", "3", "-1", "0", "9223372036854775807"]);
    const inner = (type: string) => make(type, random, depth - 1);
    const part = () =>
      pick(random, [
        "FullYear",
        "Month",
        "Date",
        "DayOfMonth",
        "DayOfWeek",
        "DayOfYear",
        "Hours",
        "Minutes",
        "Seconds",
        "Milliseconds",
      ]);
    return pick(random, [
      () => `(${inner("int")} ${pick(random, ["+", "-", "*", "/", "%"])} ${inner("int")})`,
      () => `int(${inner("double")})`,
      () => `size(${inner("string")})`,
      () => `${pick(random, ["event.occurred_at", "event.booked_at"])}.get${part()}()`,
      () => `(${inner("duration")}).get${pick(random, ["Hours", "Minutes", "Seconds"])}()`,
    ])();
  },
  string(random, depth) {
    if (depth === 0) return pick(random, ["event.origin", "event.carrier", "'JFK'", "'é😀'", "''"]);
    return pick(random, [
      () => `(${make("string", random, depth - 1)} + ${make("string", random, depth - 1)})`,
      () => `string(${make("int", random, depth - 1)})`,
      () => `string(${make("bool", random, depth - 1)})`,
    ])();
  },
  duration(random) {
    return pick(random, ["event.occurred_at - event.booked_at", "duration('1h30m')", "duration('-20s')"]);
  },
  bool(random, depth) {
    if (depth === 0)
      return pick(random, ["event.cancelled", "true", "has(event.delay)", "has(event.origin)", "has(event.booked_at)"]);
    const inner = (type: string) => make(type, random, depth - 1);
    const compare = () => pick(random, ["<", "<=", ">", ">=", "==", "!="]);
    return pick(random, [
      () => `(${inner("bool")} && ${inner("bool")})`,
      () => `(${inner("bool")} || ${inner("bool")})`,
      () => `(!${inner("bool")})`,
      () => `(${inner("double")} ${compare()} ${inner("double")})`,
      () => `(${inner("double")} ${compare()} ${inner("int")})`,
      () => `(${inner("int")} ${compare()} ${inner("int")})`,
      () => `(${inner("string")} ${compare()} ${inner("string")})`,
      () => `(${inner("int")} in [1, 2, 3])`,
      () => `(${inner("string")} in ['JFK', 'x'])`,
      () => `${inner("string")}.${pick(random, ["startsWith", "endsWith", "contains"])}(${inner("string")})`,
      () => `${inner("string")}.matches('^[A-Z]{3}$')`,
      () => `(event.occurred_at ${compare()} event.booked_at)`,
      () => `(event.occurred_at + duration('1h') ${compare()} timestamp('2001-02-03T04:05:06Z'))`,
    ])();
  },
};

const make = (type: string, random: Random, depth: number): string => (GRAMMAR[type] as Grammar[string])(random, depth);

/** An event with some fields missing: as this library takes it, and as the CEL library does. */
function randomEvent(random: Random): {
  fields: Record<string, Value>;
  occurredAtMs: number;
  bound: Map<string, CelInput>;
} {
  const occurredAtMs = Math.floor(Date.UTC(2001, 0, 1) + random() * 2e10);
  const bookedAt = timestampFromMs(occurredAtMs - Math.floor(random() * 1e9));
  const kinds: Record<string, Value["kind"]> = {
    delay: { case: "doubleValue", value: pick(random, [0, 15, -2.5, 1e9, random() * 100]) },
    distance: { case: "doubleValue", value: Math.floor(random() * 3_000) },
    seats: {
      case: "int64Value",
      value: pick(random, [0n, 3n, -1n, 9_223_372_036_854_775_807n, -9_223_372_036_854_775_808n]),
    },
    stops: { case: "int64Value", value: BigInt(Math.floor(random() * 5)) },
    cancelled: { case: "boolValue", value: random() < 0.5 },
    origin: { case: "stringValue", value: pick(random, ["JFK", "SFO", "x", "é😀", ""]) },
    carrier: { case: "stringValue", value: pick(random, ["AA", "JF"]) },
    booked_at: { case: "timestampValue", value: bookedAt },
  };
  const fields: Record<string, Value> = {};
  const bound = new Map<string, CelInput>([["occurred_at", timestampFromMs(occurredAtMs)]]);
  for (const [name, kind] of Object.entries(kinds)) {
    if (random() < 0.15) continue;
    fields[name] = create(ValueSchema, { kind });
    bound.set(name, kind.value as CelInput);
  }
  return { fields, occurredAtMs, bound };
}

test("over random expressions and events, the result is that of the CEL library", () => {
  const random = randomNumbers(20_010_101);
  const environment = celEnv();
  let defined = 0;
  let missing = 0;
  for (let count = 0; count < 3_000; count += 1) {
    const text = make(pick(random, ["bool", "double", "int"]), random, Math.floor(random() * 4));
    const own = compile(text);
    const reference = plan(environment, parse(text));
    for (let repeat = 0; repeat < 5; repeat += 1) {
      const { fields, occurredAtMs, bound } = randomEvent(random);
      const result = reference({ event: bound });
      const plain = typeof result === "bigint" ? Number(result) : result;
      const expected = isCelError(plain) || (typeof plain === "number" && !Number.isFinite(plain)) ? undefined : plain;
      const actual = own.evaluate(fields, occurredAtMs);
      assert.deepEqual(
        actual === 0 ? 0 : actual,
        expected === 0 ? 0 : expected,
        `${text} of ${[...bound.keys()].join(", ")} at ${occurredAtMs}`,
      );
      if (actual === undefined) missing += 1;
      else defined += 1;
    }
  }
  // Both happen often, or the comparison would prove little.
  assert.ok(defined > 3_000 && missing > 1_000, `${defined} defined, ${missing} missing`);
});

test("a mistake names the path, the expression and what is allowed", () => {
  const cases: readonly [string, string, RegExp][] = [
    ["event.dela >= 15.0", "unknown_field", /no field dela; its fields: .*delay, distance/],
    ["events.delay > 1.0", "unknown_name", /there is no events; the input is called event/],
    ["event.delay + 1", "wrong_type", /double \+ int; write 15\.0 for a double/],
    ["event.origin > 3", "wrong_type", /cannot compare a string with an int by >/],
    ["event.origin", "wrong_type", /must be bool or int or double, not string/],
    ["event.delay >=", "syntax", /not a CEL expression/],
    ["event.origin.upper()", "unknown_function", /there is no string\.upper\(\); allowed: .*\.startsWith\(\)/],
    ["event.delay && true", "wrong_type", /&& needs a bool on both sides, not a double/],
    ["event.cancelled ? 1 : 2.0", "wrong_type", /one type, not int and double/],
    ["event.origin.matches('(')", "bad_pattern", /"\(" is not a pattern in RE2 syntax/],
    ["event.occurred_at.getHours('Europe/Paris')", "unsupported", /works in UTC/],
    ["event.booked_at > timestamp('yesterday')", "bad_literal", /2001-02-03T04:05:06Z/],
    ["[1].exists(x, x > 0)", "unsupported", /macros/],
    ["event.delay == null", "unsupported", /there is no null; ask has/],
    ["event", "wrong_type", /name a field: event\.<field>/],
  ];
  for (const [text, reason, message] of cases) {
    assert.throws(
      () => compile(text),
      (error: {
        code: string;
        message: string;
        violations: { field: string; reason: string; description: string }[];
      }) => {
        assert.equal(error.code, "invalid_argument");
        assert.deepEqual(
          error.violations.map((violation) => [violation.field, violation.reason]),
          [["here", reason]],
          text,
        );
        assert.match(error.message, message);
        assert.ok(error.message.includes(text));
        return true;
      },
      text,
    );
  }
});

test("all mistakes of an expression are found", () => {
  assert.throws(() => compile("event.a > 1.0 && event.b > 2.0"), /no field a.*no field b/s);
});

test("a value of another type than the schema's counts as missing", () => {
  const fields = { delay: create(ValueSchema, { kind: { case: "stringValue", value: "late" } }) };
  assert.equal(compile("event.delay >= 15.0").evaluate(fields, 0), undefined);
  assert.equal(compile("has(event.delay)").evaluate(fields, 0), false);
});

test("strings become numbers that tell them apart", () => {
  const origin = compile("event.origin", ["string"]);
  const hashes = new Set<unknown>();
  for (let index = 0; index < 20_000; index += 1) {
    hashes.add(
      origin.evaluate({ origin: create(ValueSchema, { kind: { case: "stringValue", value: `value ${index}` } }) }, 0),
    );
  }
  assert.equal(hashes.size, 20_000);
  for (const hash of hashes) assert.ok(Number.isSafeInteger(hash));
});

test("an expression knows which fields it reads", () => {
  assert.deepEqual(compile("event.delay > 1.0 || has(event.origin) || event.occurred_at.getHours() > 3").reads, [
    "delay",
    "origin",
  ]);
});

test("a raw result loses nothing: all bits of an int, the string itself, a timestamp's milliseconds", () => {
  const any: readonly ResultType[] = ["int", "string", "timestamp"];
  const value = (kind: Value["kind"]): Value => create(ValueSchema, { kind });
  const fields = {
    seats: value({ case: "int64Value", value: 2n ** 60n + 1n }),
    origin: value({ case: "stringValue", value: "ORD" }),
    booked_at: value({ case: "timestampValue", value: timestampFromMs(978_307_200_123) }),
  };
  const raw = (text: string): unknown => compile(text, any).raw(fields, 0);
  assert.equal(raw("event.seats + 1"), 2n ** 60n + 2n);
  assert.equal(raw("event.origin"), "ORD");
  assert.equal(raw("event.booked_at"), 978_307_200_123);
  assert.equal(raw("event.carrier"), undefined);
});
