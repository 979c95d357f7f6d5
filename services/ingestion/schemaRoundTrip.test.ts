import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Value, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { scheduled } from "./ingestionForTests.ts";
import type { RawEvent } from "./rawEvent.ts";
import { inferFrom, jsonMessage, protobufMessage, violationsOf } from "./sampleForTests.ts";
import { printable } from "./violation.ts";

// Whatever the sample is: ingestion, told the proposed schema, takes every event of it, but for those that the proposal reports.

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

type Random = () => number;
const upTo = (random: Random, most: number): number => Math.floor(random() * most);
const oneOf = <Item>(random: Random, items: readonly Item[]): Item => items[upTo(random, items.length)] as Item;

const ALPHABETS = [
  "ABCXYZ",
  "abcdef0123456789",
  "abcxyz",
  "0123456789",
  "A1-",
  "aZ9_.-/",
  "[](){}^$|\\?*+.",
  "\"'#:&*!|>%@`,~ -",
  "a b\t\n\r\u0000\u0085\u2028",
  "äß🛫é",
].map((characters) => Array.from(characters));

const textOf = (random: Random, alphabet: readonly string[], most: number): string =>
  Array.from({ length: upTo(random, most + 1) }, () => oneOf(random, alphabet)).join("");

/** A field's values, of JSON: each kind has something that could go wrong. */
const JSON_KINDS: readonly ((random: Random) => (random: Random) => unknown)[] = [
  () => (random) => random() < 0.5,
  () => (random) => upTo(random, 1_000) - 500,
  () => (random) => (random() - 0.5) * 10 ** upTo(random, 300),
  () => (random) => random() * 10 ** -upTo(random, 320),
  () => (random) => oneOf(random, [2 ** 53, 2 ** 53 - 1, -(2 ** 53), 2 ** 62, 1e308, -1e308, 5e-324, -0, 0]),
  () => (random) => oneOf(random, [1, "2", "9007199254740993", "-9223372036854775808", -7]),
  () => (random) => String(upTo(random, 1_000)),
  () => (random) => new Date(upTo(random, 2 ** 40)).toISOString(),
  () => (random) =>
    oneOf(random, ["2001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999+14:00", "0001-01-01T00:00:00Z"]),
  () => (random) => oneOf(random, ["true", "null", "~", "", "1e5", "- a", "# b", "2001-01-01"]),
  () => (random) => oneOf(random, ["{", "[1]", '{"a":1}', "[", "{}"]),
  (choose) => {
    const values = Array.from({ length: 1 + upTo(choose, 14) }, () => textOf(choose, oneOf(choose, ALPHABETS), 12));
    return (random) => oneOf(random, values);
  },
  (choose) => {
    const alphabet = oneOf(choose, ALPHABETS);
    const most = oneOf(choose, [1, 3, 20, 200]);
    return (random) => textOf(random, alphabet, most);
  },
  (choose) => {
    const parts = Array.from(
      { length: 1 + upTo(choose, 5) },
      () => [oneOf(choose, ALPHABETS), 1 + upTo(choose, 6)] as const,
    );
    return (random) =>
      parts.map(([alphabet, length]) => Array.from({ length }, () => oneOf(random, alphabet)).join("")).join("-");
  },
  () => (random) => oneOf(random, [[1, [2]], { a: null }, [], "x"]),
  () => (random) => oneOf(random, ["text", 5, 0.5, true]),
];

/** The same value in protobuf, as a producer with types of its own would write it. */
function protobufValue(random: Random, json: unknown): Value | undefined {
  const kind = ((): Value["kind"] => {
    switch (typeof json) {
      case "boolean":
        return { case: "boolValue", value: json };
      case "number":
        if (Number.isSafeInteger(json) && random() < 0.9) return { case: "int64Value", value: BigInt(json) };
        return { case: "doubleValue", value: random() < 0.05 ? oneOf(random, [Number.NaN, Infinity]) : json };
      case "string": {
        const isTime = /^\d{4}-\d\d-\d\dT/.test(json) && random() < 0.9;
        return isTime
          ? { case: "timestampValue", value: timestampFromMs(Date.parse(json)) }
          : { case: "stringValue", value: json };
      }
      default:
        return { case: undefined };
    }
  })();
  return kind.case === undefined ? undefined : create(ValueSchema, { kind });
}

function protobufMessageOf(random: Random, type: string, data: Readonly<Record<string, unknown>>): RawEvent {
  const event = scheduled({ type });
  event.fields = {};
  for (const [name, json] of Object.entries(data)) {
    const value = protobufValue(random, json);
    if (value !== undefined) event.fields[name] = value;
  }
  return protobufMessage(event);
}

function sampleOf(seed: number): RawEvent[] {
  const random = randomOf(seed);
  const protobufShare = oneOf(random, [0, 0, 1, 0.3]);
  const types = ["thing.seen", "null", "flight.scheduled"].slice(0, 1 + upTo(random, 2));
  const fields = Array.from({ length: 1 + upTo(random, 8) }, (_, index) => ({
    name: oneOf(random, [`field_${index}`, "true", "y", "Bad Name", "occurred_at", "to_string", "value_of", 'a"b#\n']),
    share: oneOf(random, [1, 1, 0.9, 0.01]),
    valueOf: oneOf(random, JSON_KINDS)(random),
  }));
  return Array.from({ length: oneOf(random, [1, 19, 25, 150, 700]) }, () => {
    const data: Record<string, unknown> = {};
    for (const { name, share, valueOf } of fields) if (random() < share) data[name] = valueOf(random);
    const type = oneOf(random, types);
    return random() < protobufShare ? protobufMessageOf(random, type, data) : jsonMessage(data, type);
  });
}

/** 1,300 found nothing more. */
const SAMPLES = 100;

/** How many events the proposal says that it would reject for a field's values. */
function reportedIn(evidence: string): number {
  const numberBefore = (pattern: RegExp): number => Number(pattern.exec(evidence)?.[1]?.replaceAll(",", "") ?? 0);
  return numberBefore(/([\d,]+) would be rejected/) + numberBefore(/([\d,]+) NOT FINITE/);
}

test("every event of a random sample passes the schema proposed from it, but for what is reported", () => {
  for (let seed = 1; seed <= SAMPLES; seed += 1) {
    const messages = sampleOf(seed);
    const { yaml, proposal, sample } = inferFrom(messages);
    assert.equal(sample.events, messages.length, `seed ${seed}`);
    const found = new Map<string, number>();
    for (const { field } of violationsOf(yaml, messages)) found.set(field, (found.get(field) ?? 0) + 1);
    const reported = new Map<string, number>();
    for (const { name, evidence } of proposal.types.flatMap(({ fields }) => fields)) {
      const count = reportedIn(evidence);
      const path = `fields.${printable(name)}`;
      if (count > 0) reported.set(path, (reported.get(path) ?? 0) + count);
    }
    assert.deepEqual(found, reported, `seed ${seed}\n${yaml}`);
  }
});
