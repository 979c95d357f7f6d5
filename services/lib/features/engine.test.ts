import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type EntityState, EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { accepted, appForTests, fieldsOf, randomNumbers } from "./appForTests.ts";
import { compileFeatures, FeatureEngine, type FeatureRequest } from "./mod.ts";

const START_MS = Date.UTC(2001, 0, 1);
const set = compileFeatures(appForTests());

const at = (seconds: number): number => START_MS + seconds * 1_000;

function read(engine: FeatureEngine, seconds: number, plain: Parameters<typeof fieldsOf>[0]): Record<string, number> {
  const vector = engine.read({ occurredAtMs: at(seconds), fields: fieldsOf(plain) });
  return Object.fromEntries(set.names.map((name, index) => [name, vector[index] as number]));
}

/** Events with late arrivals, in the order in which they became known. */
function randomEvents(seed: number, count: number): AcceptedEvent[] {
  const random = randomNumbers(seed);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)] as Item;
  const events = Array.from({ length: count }, () => {
    const seconds = random() * 600;
    const lateSeconds = random() < 0.3 ? random() * 90 : 0;
    const plain = { depot: pick(["north", "söuth", ""]), target: pick(["x", "y.z"]), late: random() < 0.5 };
    const values = {
      weight: random() * 10 - 3,
      pieces: BigInt(Math.floor(random() * 9)),
      fragile: random() < 0.2,
      due: new Date(Math.floor(at(seconds) + random() * 5)),
    };
    const type = random() < 0.8 ? "parcel.sent" : "parcel.lost";
    const fields = type === "parcel.lost" ? { depot: plain.depot, late: plain.late } : { ...plain, ...values };
    return accepted(type, Math.floor(at(seconds)), fields, Math.floor(at(seconds + lateSeconds)));
  });
  return events.sort((left, right) => knownAtMs(left) - knownAtMs(right));
}

const knownAtMs = ({ knownAt }: AcceptedEvent): number => (knownAt === undefined ? 0 : timestampMs(knownAt));

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [result[last], result[other]] = [result[other] as Item, result[last] as Item];
  }
  return result;
}

const REQUESTS: readonly FeatureRequest[] = Array.from({ length: 140 }, (_, index) => ({
  occurredAtMs: at(index * 5) + 17,
  fields: fieldsOf({ depot: ["north", "söuth", "", "none"][index % 4] as string, target: "y.z", weight: index / 3 }),
}));

/** Bits, so that NaN equals NaN and -0 differs from 0. */
const bits = (vector: Float64Array): string => Buffer.from(vector.buffer).toString("hex");

/** States as a reader gets them from the bucket. */
function published(engine: FeatureEngine): (key: string) => EntityState | undefined {
  const states = new Map<string, EntityState>();
  for (const key of engine.dirty()) {
    const state = engine.encode(key);
    assert.ok(state);
    states.set(key, fromBinary(EntityStateSchema, toBinary(EntityStateSchema, state)));
  }
  return (key) => states.get(key);
}

test("a window covers whole tiles and leaves out the one that the read is in", () => {
  const engine = new FeatureEngine(set);
  for (const seconds of [0, 4.999, 5, 61]) engine.apply(accepted("parcel.sent", at(seconds), { depot: "north" }));
  assert.equal(read(engine, 4.999, { depot: "north" })["sent_1m"], 0);
  assert.equal(read(engine, 5, { depot: "north" })["sent_1m"], 2);
  assert.equal(read(engine, 12, { depot: "north" })["sent_1m"], 3);
  assert.equal(read(engine, 60, { depot: "north" })["sent_1m"], 3);
  assert.equal(read(engine, 65, { depot: "north" })["sent_1m"], 2);
});

test("a late event counts from the end of the tile in which it became known, not before", () => {
  const engine = new FeatureEngine(set);
  engine.apply(accepted("parcel.sent", at(1), { depot: "north" }, at(22)));
  assert.equal(read(engine, 24.9, { depot: "north" })["sent_1m"], 0);
  assert.equal(read(engine, 25, { depot: "north" })["sent_1m"], 1);
  assert.equal(read(engine, 60, { depot: "north" })["sent_1m"], 1);
  assert.equal(read(engine, 65, { depot: "north" })["sent_1m"], 0);
});

test("every aggregate says what it means", () => {
  const engine = new FeatureEngine(set);
  const lane = { depot: "north", target: "x" };
  const send = (seconds: number, weight: number, pieces: bigint, fragile: boolean): void =>
    engine.apply(accepted("parcel.sent", at(seconds), { ...lane, weight, pieces, fragile }));
  send(1, 2.5, 4n, true);
  send(3, 9, 1n, false);
  send(2, 6.5, 7n, false);
  engine.apply(accepted("parcel.sent", at(4), lane));
  const values = read(engine, 10, { ...lane, weight: 0.25 });
  const expected = {
    sent_1m: 4,
    weight_sum: 18,
    weight_mean: 6,
    weight_mean_long: 6,
    pieces_max: 7,
    pieces_min: 1,
    weight_last: 9,
    fragile_share: 1 / 3,
    heavy_count: 2,
    weight: 0.25,
    second: 10,
    pieces_sd: 3,
    lost_share: Number.NaN,
  };
  for (const [name, value] of Object.entries(expected)) assert.equal(values[name], value, name);
  assert.ok(Math.abs((values["weight_sd"] as number) - Math.sqrt(10.75)) < 1e-12);
});

test("an entity without events has counts and sums of 0, and everything else is missing; an unknown entity has nothing", () => {
  const engine = new FeatureEngine(set);
  const values = read(engine, 10, { depot: "north" });
  assert.equal(values["sent_1m"], 0);
  assert.equal(values["weight_sum"], 0);
  assert.ok(Number.isNaN(values["fragile_share"]));
  assert.ok(Number.isNaN(values["weight_mean"]), "the request names no target, so no lane");
  assert.ok(Number.isNaN(read(engine, 10, {})["sent_1m"]));
});

test("a read from the published states equals the engine's own, bit for bit, with late events and in any order of arrival", () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const events = randomEvents(seed, 400);
    const inOrder = new FeatureEngine(set);
    const mixed = new FeatureEngine(set);
    for (const event of events) inOrder.apply(event);
    for (const event of shuffled(events, randomNumbers(seed))) mixed.apply(event);
    const lookup = published(mixed);
    for (const request of REQUESTS) {
      const expected = bits(inOrder.read(request));
      assert.equal(bits(mixed.read(request)), expected, `seed ${seed}, at ${request.occurredAtMs - START_MS}`);
      assert.equal(bits(set.vector(request, lookup)), expected, `seed ${seed}, at ${request.occurredAtMs - START_MS}`);
    }
  }
});

test("what becomes known later changes no read before it", () => {
  const events = randomEvents(7, 400);
  const all = new FeatureEngine(set);
  for (const event of events) all.apply(event);
  for (const request of REQUESTS) {
    const before = new FeatureEngine(set);
    for (const event of events) if (knownAtMs(event) < request.occurredAtMs) before.apply(event);
    assert.equal(bits(all.read(request)), bits(before.read(request)));
  }
});

test("states stay small: what nobody can ask for any more is dropped", () => {
  const engine = new FeatureEngine(set, { lookBackMs: 60_000 });
  for (let seconds = 0; seconds < 10_000; seconds += 1) {
    engine.apply(accepted("parcel.sent", at(seconds), { depot: "north" }));
  }
  const entries = engine.encode("depot.north")?.series.map(({ tileSteps }) => tileSteps.length) ?? [];
  assert.ok(Math.max(...entries) <= 60 / 5 + 60 / 5 + 17, `entries: ${entries.join(", ")}`);
  assert.equal(read(engine, 9_940, { depot: "north" })["sent_1m"], 60);
  engine.takeDirty();
  engine.apply(accepted("parcel.sent", at(20_000), { depot: "south" }));
  assert.deepEqual(engine.removeExpired(), ["depot.north"]);
});

test("a state that is encoded later still holds what readers were told to be exact, until they are told of a later time", () => {
  const engine = new FeatureEngine(set, { lookBackMs: 60_000 });
  const reference = new FeatureEngine(set, { lookBackMs: 1e9 });
  const sendUntil = (from: number, until: number): void => {
    for (let seconds = from; seconds < until; seconds += 1) {
      for (const one of [engine, reference]) one.apply(accepted("parcel.sent", at(seconds), { depot: "north" }));
    }
  };
  sendUntil(0, 400);
  const announced = engine.exactFromMs;
  engine.keepFrom(announced);
  sendUntil(400, 500);
  const request = { occurredAtMs: announced, fields: fieldsOf({ depot: "north" }) };
  const lookup = (key: string) => engine.encode(key);
  assert.equal(bits(set.vector(request, lookup)), bits(reference.read(request)));
  engine.keepFrom(engine.exactFromMs);
  assert.notEqual(bits(set.vector(request, lookup)), bits(reference.read(request)));
});

test("an entity is due when one of its changed tiles has ended, once however many events changed it", () => {
  const engine = new FeatureEngine(set);
  for (const seconds of [1, 2, 3, 4]) engine.apply(accepted("parcel.lost", at(seconds), { depot: "a", late: true }));
  engine.apply(accepted("parcel.lost", at(6), { depot: "b", late: true }));
  const keys = (asOfSeconds: number): string[] => engine.takeDirty(at(asOfSeconds)).map(({ key }) => key);
  assert.deepEqual(keys(4.999), []);
  assert.deepEqual(keys(5), ["depot.a"]);
  assert.deepEqual(engine.dirty(), ["depot.b"]);
  assert.deepEqual(keys(100), ["depot.b"]);
  assert.deepEqual(engine.dirty(), []);
});

test("a value lives as long as its window: LAST of an older one is missing", () => {
  const engine = new FeatureEngine(set);
  const lane = { depot: "north", target: "x" };
  engine.apply(accepted("parcel.sent", at(1), { ...lane, weight: 2.5 }));
  assert.equal(read(engine, 64.999, lane)["weight_last"], 2.5);
  assert.ok(Number.isNaN(read(engine, 65, lane)["weight_last"]));
});

test("an engine that is only read stays as small as its windows, however many entities come; reads are the same", () => {
  const lookBackMs = 60_000;
  const reading = new FeatureEngine(set, { lookBackMs, reportsChanges: false });
  const reporting = new FeatureEngine(set, { lookBackMs });
  const EVENTS = 60_000;
  let largest = 0;
  for (let index = 0; index < EVENTS; index += 1) {
    const seconds = index / 10;
    const event = accepted(
      "parcel.sent",
      at(seconds),
      { depot: `d${index >> 1}`, target: "x", weight: index },
      at(seconds),
    );
    reading.apply(event);
    reporting.apply(event);
    largest = Math.max(largest, reading.size);
    if (index % 97 !== 0) continue;
    for (const back of [0, 300, 1_500]) {
      const request = {
        occurredAtMs: at(seconds - 20),
        fields: fieldsOf({ depot: `d${(index - back) >> 1}`, target: "x" }),
      };
      assert.equal(bits(reading.read(request)), bits(reporting.read(request)), `event ${index}, ${back} back`);
    }
  }
  // A depot and a lane for every other event: those of the windows and the look-back, and those that came since the last look.
  assert.ok(largest < 15_000, `${largest} entities`);
  assert.equal(reporting.size, EVENTS);
  assert.deepEqual(reading.dirty(), []);
});

test("an entity whose last value has left all windows is told as expired, also when its last change was not written; one that comes again is new", () => {
  const engine = new FeatureEngine(set, { lookBackMs: 60_000 });
  for (const depot of ["north", "söuth"]) {
    engine.apply(accepted("parcel.sent", at(1), { depot, target: "x", weight: 1 }));
  }
  const clock = (seconds: number): void => engine.apply(accepted("parcel.sent", at(seconds), {}));
  // The longest window over the depot is of 120 s; an exact read may be 60 s behind, and covers whole tiles of 10 s.
  clock(189);
  const [taken] = engine.takeDirty(at(5));
  assert.deepEqual(engine.takeExpired(), []);
  engine.apply(accepted("parcel.sent", at(189), { depot: "söuth", target: "x", weight: 1 }));
  clock(190);
  const expired = ["depot.north", "lane.north.x"];
  assert.deepEqual(engine.takeExpired().sort(), expired);
  assert.deepEqual(engine.takeExpired(), []);
  assert.equal(engine.encode("depot.north"), undefined);
  assert.ok(taken);
  engine.putBack(taken, at(5));
  const due = engine.takeDirty().map(({ key }) => key);
  assert.deepEqual(
    due.filter((key) => expired.includes(key)),
    [],
    "nothing brings it back",
  );
  engine.apply(accepted("parcel.sent", at(191), { depot: "north", target: "x" }));
  assert.equal(read(engine, 200, { depot: "north" })["sent_1m"], 1);
  clock(1_000);
  assert.deepEqual(engine.takeExpired().sort(), ["depot.north", "depot.s=C3=B6uth", "lane.s=C3=B6uth.x"]);
  assert.deepEqual(engine.takeDirty(), []);
});

test("DISTINCT counts values of any type, exactly while they are few, and not those that are missing", () => {
  const engine = new FeatureEngine(set);
  const send = (seconds: number, plain: Parameters<typeof fieldsOf>[0], knownSeconds = seconds): void =>
    engine.apply(accepted("parcel.sent", at(seconds), { depot: "north", ...plain }, at(knownSeconds)));
  send(1, { target: "x", weight: 0, pieces: 2n ** 60n, fragile: true, due: new Date(START_MS) });
  send(2, { target: "x", weight: -0, pieces: 2n ** 60n + 1n, fragile: true, due: new Date(START_MS + 1) });
  send(6, { target: "y", weight: 1.5, fragile: false });
  send(7, {});
  send(8, { target: "late", weight: 2.5 }, 31);
  const counts = (seconds: number): (number | undefined)[] => {
    const values = read(engine, seconds, { depot: "north", target: "x" });
    return ["targets", "weights", "pieces_kinds", "fragilities", "due_times", "due_count"].map((name) => values[name]);
  };
  assert.deepEqual(counts(5), [1, 0, 2, 1, 2, 2], "weights has tiles of ten seconds");
  assert.deepEqual(counts(10), [2, 2, 2, 2, 2, 2]);
  assert.deepEqual(counts(35), [3, 2, 2, 2, 2, 2], "a value counts from the end of the tile in which it became known");
  assert.deepEqual(counts(40), [3, 3, 2, 2, 2, 2]);
  assert.deepEqual(counts(65), [2, 3, 0, 1, 0, 0], "what the window has left does not count");
  assert.equal(read(engine, 65, { depot: "north" })["targets_long"], 3);
  assert.equal(read(engine, 65, { depot: "nowhere" })["targets"], 0);
  assert.ok(Number.isNaN(read(engine, 65, {})["targets"]));
});

test("DISTINCT beyond 128 values stays within its error through tiles, buckets and any order, bit for bit the same", () => {
  const inOrder = new FeatureEngine(set);
  const mixed = new FeatureEngine(set);
  const events = Array.from({ length: 3_000 }, (_, index) =>
    accepted("parcel.sent", at(index / 50), { depot: "north", target: `target ${index % 1_500}`, weight: index }),
  );
  for (const event of events) inOrder.apply(event);
  for (const event of shuffled(events, randomNumbers(4))) mixed.apply(event);
  const request = { occurredAtMs: at(60), fields: fieldsOf({ depot: "north" }) };
  const values = read(inOrder, 60, { depot: "north" });
  assert.ok(Math.abs((values["targets"] as number) / 1_500 - 1) < 0.065);
  assert.ok(Math.abs((values["weights"] as number) / 3_000 - 1) < 0.065);
  assert.equal(bits(mixed.read(request)), bits(inOrder.read(request)));
  assert.equal(bits(set.vector(request, published(mixed))), bits(inOrder.read(request)));
});

test("a stored state that does not fit its definition is an error, never a feature", () => {
  const engine = new FeatureEngine(set);
  for (const seconds of [1, 6]) engine.apply(accepted("parcel.sent", at(seconds), { depot: "north", target: "x" }));
  const request = { occurredAtMs: at(60), fields: fieldsOf({ depot: "north" }) };
  const damages: ((state: EntityState) => void)[] = [
    ({ series }) => series.find(({ components }) => components.length > 0)?.components.pop(),
    ({ series }) => series.find(({ sketches }) => sketches.length > 0)?.sketches.pop(),
    ({ series }) => series.find(({ sketches }) => sketches.length > 0)?.sketches.splice(0, 1, new Uint8Array(5)),
    ({ series }) => series[0]?.knownAfter.push(1),
    ({ series }) => series[0]?.tileSteps.push(1),
  ];
  for (const damage of damages) {
    const state = engine.encode("depot.north");
    assert.ok(state);
    assert.ok(set.vector(request, () => state));
    const damaged = fromBinary(EntityStateSchema, toBinary(EntityStateSchema, state));
    damage(damaged);
    assert.throws(() => set.vector(request, () => damaged), /a stored state is damaged: its series of depot's/);
  }
});
