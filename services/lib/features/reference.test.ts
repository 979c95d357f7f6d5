import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AcceptedEventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type EntityState, EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { ReadEventsResponseSchema } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { accepted, appForTests, fieldsOf, type Plain, randomNumbers } from "./appForTests.ts";
import { compileFeatures, EventReader, FeatureEngine } from "./mod.ts";
import { type PlainEvent, randomStream, referenceVector } from "./referenceForTests.ts";

const START_MS = Date.UTC(2001, 0, 1);
const SECONDS = 400;
const app = appForTests();
const set = compileFeatures(app);

/** Values of which sums, and sums of squares, are exact in any order; and others, where that is not promised but for the last bit. */
const WEIGHTS: Readonly<Record<string, (random: () => number) => number>> = {
  eighths: (random) => Math.floor(random() * 160) / 8 - 5,
  "any doubles": (random) => random() * 20 - 5,
  "doubles of all sizes": (random) => (random() < 0.5 ? -1 : 1) * 10 ** (random() * 12 - 6),
  "a small spread around a large mean": (random) => 100_000 + random() / 1_000,
};

const bits = (vector: Float64Array): string => Buffer.from(vector.buffer).toString("hex");

function apply(engine: FeatureEngine, { type, plain, occurredAtMs, knownAtMs }: PlainEvent): void {
  engine.applyFields(type, fieldsOf(plain), occurredAtMs, knownAtMs);
}

function publishedBy(engine: FeatureEngine): (key: string) => EntityState | undefined {
  const states = new Map<string, EntityState>();
  for (const entity of engine.entities()) {
    states.set(entity.key, fromBinary(EntityStateSchema, toBinary(EntityStateSchema, engine.encodeEntity(entity))));
  }
  return (key) => states.get(key);
}

function randomRequest(random: () => number): Plain {
  const depot = ["north", "söuth", "", "nowhere"][Math.floor(random() * 4)] as string;
  const all: Plain = { depot, target: random() < 0.5 ? "x" : "y.z", weight: random() };
  return Object.fromEntries(Object.entries(all).filter(() => random() < 0.9));
}

function assertEqualTo(expected: Record<string, number>, actual: Float64Array, weights: string, message: string): void {
  set.names.forEach((name, index) => {
    const value = actual[index] as number;
    const wanted = expected[name] as number;
    if (!name.endsWith("_sd"))
      assert.ok(Object.is(value, wanted) || value === wanted, `${message}: ${name} is ${value}, not ${wanted}`);
    else if (Number.isNaN(wanted)) assert.ok(Number.isNaN(value), `${message}: ${name} is ${value}, not missing`);
    else {
      const allowed = weights.startsWith("a small spread") ? 1e-9 : 1e-14;
      assert.ok(Math.abs(value - wanted) <= allowed * wanted, `${message}: ${name} is ${value}, not ${wanted}`);
    }
  });
}

/** The same events, each up to so many seconds later or earlier in the order. */
function rearranged(events: readonly PlainEvent[], seconds: number, random: () => number): PlainEvent[] {
  return events
    .map((event) => ({ event, place: event.knownAtMs + random() * seconds * 1_000 }))
    .sort((left, right) => left.place - right.place)
    .map(({ event }) => event);
}

test("every aggregate, window and filter says what looking at every event says, at any time, in any order of arrival", () => {
  for (let seed = 1; seed <= 400; seed += 1) {
    const random = randomNumbers(seed + 1_000_000);
    const weights = Object.keys(WEIGHTS)[seed % 4] as keyof typeof WEIGHTS;
    const weight = WEIGHTS[weights] as (random: () => number) => number;
    const options = {
      count: 20 + Math.floor(random() * 150),
      seconds: SECONDS,
      lateSeconds: 150,
      startMs: START_MS,
      weight,
    };
    const events = randomStream(seed, options);
    const inOrder = new FeatureEngine(set);
    const mixed = new FeatureEngine(set);
    for (const event of events) apply(inOrder, event);
    for (const event of rearranged(events, 200, random)) apply(mixed, event);
    const lookup = publishedBy(mixed);
    for (let round = 0; round < 12; round += 1) {
      const occurredAtMs = START_MS + Math.floor(random() * (SECONDS + 200) * 1_000);
      const plain = randomRequest(random);
      const request = { occurredAtMs, fields: fieldsOf(plain) };
      const message = `seed ${seed} (${weights}), ${(occurredAtMs - START_MS) / 1_000} s, ${JSON.stringify(plain)}`;
      const vector = inOrder.read(request);
      assertEqualTo(referenceVector(app, events, occurredAtMs, plain), vector, weights, message);
      assert.equal(bits(mixed.read(request)), bits(vector), `${message}: another order of arrival`);
      assert.equal(bits(set.vector(request, lookup)), bits(vector), `${message}: from the bucket`);
    }
  }
});

test("a read is exact from exactFromMs on while tiles and entities are dropped, also of events far too late; before it may be not", () => {
  let wrong = 0;
  let expired = 0;
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = randomNumbers(seed + 2_000_000);
    const weights = "eighths";
    const options = {
      count: 150,
      seconds: 1_500,
      lateSeconds: 600,
      startMs: START_MS,
      weight: WEIGHTS[weights] as () => number,
    };
    const events = randomStream(seed, options);
    const engine = new FeatureEngine(set, { lookBackMs: 1_000 * Math.floor(random() * 90) });
    assert.equal(engine.exactFromMs, -Infinity);
    for (let applied = 1; applied <= events.length; applied += 1) {
      apply(engine, events[applied - 1] as PlainEvent);
      if (random() < 0.1) {
        engine.takeDirty();
        expired += engine.takeExpired().length;
      }
      if (random() > 0.1) continue;
      assert.equal(engine.exactFromMs, engine.knownAtMs - engine.lookBackMs);
      const occurredAtMs = Math.floor(engine.exactFromMs + random() * 200_000 - (seed % 2) * 250_000);
      const plain = randomRequest(random);
      const expected = referenceVector(app, events.slice(0, applied), occurredAtMs, plain);
      const request = { occurredAtMs, fields: fieldsOf(plain) };
      const vector = engine.read(request);
      const message = `seed ${seed}, after ${applied}, ${(occurredAtMs - START_MS) / 1_000} s, ${JSON.stringify(plain)}`;
      if (engine.isExact(occurredAtMs)) {
        assertEqualTo(expected, vector, weights, message);
        assert.equal(bits(set.vector(request, publishedBy(engine))), bits(vector), message);
      } else if (set.names.some((name, index) => !Object.is(vector[index], expected[name]))) wrong += 1;
    }
  }
  assert.ok(expired > 1_000, `${expired} entities expired`);
  assert.ok(wrong > 50, `${wrong} reads before exactFromMs were not exact`);
});

test("live and in history features are the same to the last bit: decoded from the stream or read from the log's wire", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = randomNumbers(seed + 3_000_000);
    const weight = Object.values(WEIGHTS)[seed % 4] as (random: () => number) => number;
    const options = { count: 150, seconds: SECONDS, lateSeconds: 150, startMs: START_MS, weight };
    const events = randomStream(seed, options).map(({ type, occurredAtMs, plain, knownAtMs }) =>
      accepted(type, occurredAtMs, plain, knownAtMs),
    );
    const live = new FeatureEngine(set);
    const batch = toBinary(AcceptedEventsSchema, create(AcceptedEventsSchema, { events }));
    for (const event of fromBinary(AcceptedEventsSchema, batch).events) live.apply(event);
    const history = new FeatureEngine(set);
    const page = toBinary(ReadEventsResponseSchema, create(ReadEventsResponseSchema, { events }));
    new EventReader().read(page, 1, ({ type, fields, occurredAtMs, knownAtMs }) =>
      history.applyFields(type, fields, occurredAtMs, knownAtMs),
    );
    const lookup = publishedBy(live);
    for (let round = 0; round < 20; round += 1) {
      const occurredAtMs = START_MS + Math.floor(random() * SECONDS * 1_000);
      const request = { occurredAtMs, fields: fieldsOf(randomRequest(random)) };
      const message = `seed ${seed}, ${(occurredAtMs - START_MS) / 1_000} s`;
      assert.equal(bits(set.vector(request, lookup)), bits(history.read(request)), message);
    }
  }
});
