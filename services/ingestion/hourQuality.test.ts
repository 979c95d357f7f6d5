import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type EventType, EventTypeSchema, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type Event, EventSchema, type Value, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type DataQuality, DataQualitySchema } from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import type { Violation } from "@millrace/runtime";
import { HourQuality } from "./hourQuality.ts";

const { STRING, DOUBLE, INT64, BOOL, TIMESTAMP } = FieldType;
const SCHEMA = fieldsOf({ price: DOUBLE, count: INT64, good: BOOL, name: STRING, code: STRING, at: TIMESTAMP });
const NAMES = ["at", "code", "count", "good", "name", "price"];
const HOUR_MS = Date.UTC(2001, 0, 1, 8);

function fieldsOf(types: Record<string, FieldType>): EventType["fields"] {
  const fields = Object.fromEntries(Object.entries(types).map(([name, type]) => [name, { type }]));
  return create(EventTypeSchema, { fields }).fields;
}

/** A generator with a seed: xorshift (Marsaglia 2003). Answers numbers from 0 to 1. */
function randomOf(seed: number): () => number {
  let state = (seed + 1) * 0x9e3779b1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

interface Seen {
  readonly event: Event;
  /** Undefined: it was accepted. */
  readonly violations: readonly Violation[] | undefined;
}

const value = (kind: Value["kind"]): Value => create(ValueSchema, { kind });

/** An event in which every field is there or not, some unknown ones among them. */
function randomEvent(random: () => number): Seen {
  const fields: Record<string, Value> = {};
  const maybe = (name: string, kind: () => Value["kind"]): void => {
    if (random() < 0.8) fields[name] = value(kind());
  };
  maybe("price", () => ({ case: "doubleValue", value: Math.round((random() - 0.3) * 1e4) / 100 }));
  maybe("count", () => ({ case: "int64Value", value: BigInt(Math.floor(random() * 5)) }));
  maybe("good", () => ({ case: "boolValue", value: random() < 0.3 }));
  maybe("name", () => ({ case: "stringValue", value: "😀".repeat(Math.floor(random() * 4)) }));
  maybe("code", () => ({ case: "stringValue", value: `c${Math.floor(random() * 1e6)}` }));
  maybe("at", () => ({ case: "timestampValue", value: timestampFromMs(HOUR_MS + Math.floor(random() * 1e6)) }));
  if (random() < 0.2) fields[`stranger${Math.floor(random() * 1e6)}`] = value({ case: "boolValue", value: true });
  if (random() < 0.1) fields["code"] = value({ case: undefined });
  const reasons: readonly Violation[] = [
    { field: "fields.price", reason: "field_out_of_range", description: "" },
    { field: "fields.name", reason: random() < 0.5 ? "too_long" : "pattern_mismatch", description: "" },
    { field: "fields.stranger", reason: "unknown_field", description: "" },
    { field: "id", reason: "missing_id", description: "" },
  ];
  const violations = random() < 0.25 ? reasons.filter(() => random() < 0.5) : undefined;
  return { event: create(EventSchema, { fields }), violations };
}

function qualityOf(seen: readonly Seen[]): HourQuality {
  const quality = new HourQuality("shop", "order", HOUR_MS, SCHEMA);
  for (const { event, violations } of seen) {
    if (violations === undefined) quality.accept(event);
    else quality.refuse(event, violations);
  }
  return quality;
}

/** As it is stored and read again. */
const stored = (quality: HourQuality): DataQuality =>
  fromBinary(DataQualitySchema, toBinary(DataQualitySchema, quality.toMessage()));

function mergeAll(parts: readonly DataQuality[]): HourQuality {
  const merged = new HourQuality("shop", "order", HOUR_MS);
  for (const part of parts) merged.merge(part);
  return merged;
}

/** Everything that has to be exact: all but the rounded mean and squared differences. */
function exactly({ fields, ...rest }: DataQuality) {
  const exact = fields.map((field) => ({ ...field, mean: 0, squaredDifferences: 0 }));
  return { ...rest, fields: exact };
}

function assertSame(actual: DataQuality, expected: DataQuality): void {
  assert.deepEqual(exactly(actual), exactly(expected));
  for (const [index, { name, mean, squaredDifferences, values }] of expected.fields.entries()) {
    const field = actual.fields[index];
    const close = (left: number | undefined, right: number | undefined): boolean =>
      left === right || Math.abs((left ?? NaN) - (right ?? NaN)) <= 1e-9 * Math.abs(right ?? NaN);
    assert.ok(close(field?.mean, mean), `mean of ${name}: ${field?.mean} for ${mean}`);
    const [left, right] = [field?.squaredDifferences, squaredDifferences];
    assert.ok(values < 2n || close(left, right), `squared differences of ${name}: ${left} for ${right}`);
  }
}

test("the figures do not depend on how events are split into batches, nor on their order, nor on the grouping of merges", () => {
  for (let seed = 0; seed < 60; seed += 1) {
    const random = randomOf(seed);
    const seen = Array.from({ length: 1 + Math.floor(random() * 400) }, () => randomEvent(random));
    const whole = qualityOf(seen).toMessage();
    const shuffled = seen.toSorted(() => random() - 0.5);
    const parts: DataQuality[] = [];
    for (let start = 0; start < shuffled.length; ) {
      const length = 1 + Math.floor(random() * 60);
      parts.push(stored(qualityOf(shuffled.slice(start, start + length))));
      start += length;
    }
    assertSame(mergeAll(parts).toMessage(), whole);
    const middle = Math.floor(parts.length / 2);
    const left = stored(mergeAll(parts.slice(0, middle)));
    const right = stored(mergeAll(parts.slice(middle)));
    assertSame(mergeAll([left, right]).toMessage(), whole);
    assertSame(mergeAll([right, left]).toMessage(), whole);
  }
});

test("every figure is what brute force says", () => {
  const random = randomOf(99);
  const seen = Array.from({ length: 3_000 }, () => randomEvent(random));
  const quality = qualityOf(seen).toMessage();
  const accepted = seen.filter(({ violations }) => violations === undefined);
  assert.equal(quality.accepted, BigInt(accepted.length));
  assert.equal(quality.rejected, BigInt(seen.length - accepted.length));
  const names = (events: readonly Seen[]) =>
    events.flatMap(({ event }) => Object.keys(event.fields).filter((name) => event.fields[name]?.kind.case));
  assert.equal(quality.unknownValues, BigInt(names(seen).filter((name) => name.startsWith("stranger")).length));
  const broken = (path: (field: string) => boolean): Record<string, bigint> => {
    const counts: Record<string, bigint> = {};
    for (const { field, reason } of seen.flatMap(({ violations }) => violations ?? [])) {
      if (path(field)) counts[reason] = (counts[reason] ?? 0n) + 1n;
    }
    return counts;
  };
  assert.deepEqual(
    quality.violations,
    broken((field) => field === "id" || field === "fields.stranger"),
  );
  assert.deepEqual(
    quality.fields.map(({ name }) => name),
    NAMES,
  );
  for (const field of quality.fields) {
    const all = names(seen).filter((name) => name === field.name).length;
    assert.equal(field.events, 3_000n);
    assert.equal(field.missing, BigInt(3_000 - all), field.name);
    assert.deepEqual(
      field.violations,
      broken((path) => path === `fields.${field.name}`),
    );
    const values = accepted
      .map(({ event }) => event.fields[field.name]?.kind)
      .filter((kind) => kind?.case !== undefined);
    const numbers = values.map((kind) => {
      if (kind.case === "timestampValue") return Number(kind.value.seconds) * 1_000 + kind.value.nanos / 1e6;
      return kind.case === "stringValue" ? Array.from(kind.value).length : Number(kind.value);
    });
    const mean = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
    assert.equal(field.values, BigInt(values.length));
    assert.equal(field.zeros, BigInt(numbers.filter((number) => number === 0).length));
    assert.equal(field.min, Math.min(...numbers));
    assert.equal(field.max, Math.max(...numbers));
    assert.ok(Math.abs((field.mean ?? NaN) - mean) <= 1e-9 * Math.abs(mean), `mean of ${field.name}`);
    const squares = numbers.reduce((sum, number) => sum + (number - mean) ** 2, 0);
    assert.ok(Math.abs((field.squaredDifferences ?? NaN) - squares) <= 1e-8 * squares, `squares of ${field.name}`);
    const truth = new Set(field.name === "code" ? values.map((kind) => kind.value) : numbers).size;
    const error = Math.abs(field.distinct / truth - 1);
    assert.ok(truth > 128 ? error < 4 * 0.0325 : error === 0, `${field.name}: ${field.distinct} for ${truth}`);
  }
});

test("there are never more different values than values", () => {
  for (let start = 0; start < 40_000; start += 1_000) {
    const seen = Array.from({ length: 1_000 }, (_, index): Seen => {
      const fields = { price: value({ case: "doubleValue", value: start + index }) };
      return { event: create(EventSchema, { fields }), violations: undefined };
    });
    const field = qualityOf(seen)
      .toMessage()
      .fields.find(({ name }) => name === "price");
    assert.ok((field?.distinct ?? NaN) <= 1_000 && (field?.distinct ?? NaN) > 850, `${field?.distinct} of 1,000`);
  }
});

test("a field without values has no range and no mean, and numbers beyond a double's squares have no deviation", () => {
  const nothing = qualityOf([{ event: create(EventSchema), violations: undefined }]).toMessage();
  for (const { min, max, mean, squaredDifferences, missing, distinct } of nothing.fields) {
    assert.deepEqual([min, max, mean, squaredDifferences], [undefined, undefined, undefined, undefined]);
    assert.deepEqual([missing, distinct], [1n, 0]);
  }
  const price = (number: number): Seen => {
    const fields = { price: value({ case: "doubleValue", value: number }) };
    return { event: create(EventSchema, { fields }), violations: undefined };
  };
  const parts = [price(1e300), price(-1e300), price(3)].map((seen) => stored(qualityOf([seen])));
  const field = mergeAll(parts)
    .toMessage()
    .fields.find(({ name }) => name === "price");
  assert.deepEqual([field?.min, field?.max, field?.values], [-1e300, 1e300, 3n]);
  assert.equal(field?.squaredDifferences, undefined);
});

test("a field that a newer schema brings is counted from then on; a name that objects inherit is a field like any other", () => {
  const old = new HourQuality("shop", "order", HOUR_MS, fieldsOf({ price: DOUBLE }));
  old.accept(create(EventSchema));
  const newer = new HourQuality("shop", "order", HOUR_MS, fieldsOf({ price: DOUBLE, constructor: STRING }));
  newer.accept(create(EventSchema));
  newer.accept(create(EventSchema, { fields: { constructor: value({ case: "stringValue", value: "me" }) } }));
  const { fields } = mergeAll([stored(old), stored(newer)]).toMessage();
  assert.deepEqual(
    fields.map(({ name, type, events, missing }) => [name, type, events, missing]),
    [
      ["constructor", STRING, 2n, 1n],
      ["price", DOUBLE, 3n, 3n],
    ],
  );
});
