import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { EngineCheckpointSchema } from "@millrace/proto/millrace/feature/v1/checkpoint_pb.ts";
import { EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { appForTests, fieldsOf, type Plain, randomNumbers } from "./appForTests.ts";
import {
  compileFeatures,
  compileMissing,
  decodeCheckpoint,
  encodeCheckpoint,
  FeatureEngine,
  type FeatureSet,
} from "./mod.ts";
import { type PlainEvent, randomStream } from "./referenceForTests.ts";

const START_MS = Date.UTC(2001, 0, 1);
const SECONDS = 1_200;
const POSITION = {
  streamSequence: 7,
  completeBeforeMs: START_MS,
  recentBatches: [5n, 9n],
  latestLogSequence: 12n,
  completeLogSequence: 10n,
};
const set = compileFeatures(appForTests());

const streamOf = (seed: number, count = 300): PlainEvent[] =>
  randomStream(seed, {
    count,
    seconds: SECONDS,
    lateSeconds: 200,
    startMs: START_MS,
    weight: (random) => random() * 20 - 5,
  });

function apply(engine: FeatureEngine, events: readonly PlainEvent[]): void {
  for (const { type, plain, occurredAtMs, knownAtMs } of events) {
    engine.applyFields(type, fieldsOf(plain), occurredAtMs, knownAtMs);
  }
}

function filled(of: FeatureSet, events: readonly PlainEvent[], lookBackMs = 3_600_000): FeatureEngine {
  const engine = new FeatureEngine(of, { lookBackMs });
  apply(engine, events);
  return engine;
}

const ascending = (...numbers: readonly number[]): number[] => numbers.toSorted((left, right) => left - right);

const bits = (vector: Float64Array): string => Buffer.from(vector.buffer).toString("hex");

/** Every state that would be written, by key. */
function statesOf(engine: FeatureEngine): Record<string, string> {
  const states: Record<string, string> = {};
  for (const entity of engine.entities()) {
    const bytes = toBinary(EntityStateSchema, engine.encodeEntity(entity));
    if (bytes.length > 0) states[entity.key] = Buffer.from(bytes).toString("hex");
  }
  return Object.fromEntries(Object.entries(states).sort(([left], [right]) => (left < right ? -1 : 1)));
}

/** Reads all over the stream, of every entity. */
function readsOf(engine: FeatureEngine, seed = 1): string[] {
  const random = randomNumbers(seed);
  const reads: string[] = [];
  for (const depot of ["north", "söuth", ""]) {
    for (const target of ["x", "y.z"]) {
      for (let round = 0; round < 4; round += 1) {
        const occurredAtMs = START_MS + Math.floor(random() * SECONDS * 1_000);
        const plain: Plain = { depot, target };
        if (engine.isExact(occurredAtMs)) reads.push(bits(engine.read({ occurredAtMs, fields: fieldsOf(plain) })));
      }
    }
  }
  return reads;
}

function restored(bytes: Uint8Array, lookBackMs?: number): FeatureEngine {
  const decoded = decodeCheckpoint(set, bytes, lookBackMs === undefined ? {} : { lookBackMs });
  assert.deepEqual(decoded.missing, []);
  assert.deepEqual(decoded.position, POSITION);
  return decoded.engine;
}

test("an engine that goes on from a checkpoint, at any point, stays the same as one that never stopped", () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const random = randomNumbers(seed);
    const events = streamOf(seed, 200);
    const lookBackMs = seed % 2 === 0 ? 60_000 : 3_600_000;
    const whole = new FeatureEngine(set, { lookBackMs });
    let parts = new FeatureEngine(set, { lookBackMs });
    let from = 0;
    for (const share of ascending(random(), random(), random(), random(), 1)) {
      const to = Math.round(share * events.length);
      for (const engine of [whole, parts]) apply(engine, events.slice(from, to));
      from = to;
      const message = `seed ${seed}, at ${to}`;
      if (random() < 0.5) {
        const asOfMs = whole.knownAtMs - Math.floor(random() * 10_000);
        const [one, other] = [whole, parts].map((engine) => engine.takeDirty(asOfMs).map(({ key }) => key));
        assert.deepEqual(other?.sort(), one?.sort(), message);
      }
      const [one, other] = [whole, parts].map((engine) => engine.takeExpired().sort());
      if (random() < 0.5) assert.deepEqual(other, one, message);
      parts = restored(encodeCheckpoint(parts, POSITION), lookBackMs);
      assert.equal(parts.exactFromMs, whole.exactFromMs, message);
      assert.equal(parts.knownAtMs, whole.knownAtMs, message);
      assert.deepEqual(statesOf(parts), statesOf(whole), message);
      assert.deepEqual(readsOf(parts, seed), readsOf(whole, seed), message);
      assert.deepEqual(parts.dirty().sort(), whole.dirty().sort(), message);
    }
  }
});

test("a checkpoint that is damaged or cut off anywhere, or is none, is an error that says so", () => {
  const bytes = encodeCheckpoint(filled(set, streamOf(1, 60)), POSITION);
  const random = randomNumbers(1);
  const refused = (damaged: Uint8Array, what: string): void => {
    const isDataLoss = (error: unknown): boolean =>
      error instanceof MillraceError &&
      error.code === "data_loss" &&
      error.message.startsWith("the checkpoint cannot be used: ");
    assert.throws(() => decodeCheckpoint(set, damaged), isDataLoss, what);
  };
  for (let length = 0; length < bytes.length; length += 1 + Math.floor(random() * 10)) {
    refused(bytes.subarray(0, length), `cut off at ${length}`);
  }
  for (let round = 0; round < 500; round += 1) {
    const damaged = Uint8Array.from(bytes);
    const at = Math.floor(random() * bytes.length);
    damaged[at] = (damaged[at] as number) ^ (1 << Math.floor(random() * 8));
    refused(damaged, `a bit changed at ${at}`);
  }
  refused(new TextEncoder().encode("something else that somebody stored under the same name"), "another text");
  const { digest, ...older } = fromBinary(EngineCheckpointSchema, bytes);
  assert.equal(digest.length, 32);
  refused(toBinary(EngineCheckpointSchema, { ...older, digest: new Uint8Array() }), "without a digest");
});

test("a look-back that was longer or shorter before makes no read exact that is not", () => {
  const events = streamOf(2);
  const short = encodeCheckpoint(filled(set, events, 60_000), POSITION);
  assert.equal(restored(short, 600_000).exactFromMs, filled(set, events).knownAtMs - 60_000);
  const long = encodeCheckpoint(filled(set, events, 600_000), POSITION);
  assert.deepEqual(statesOf(restored(long, 60_000)), statesOf(filled(set, events, 60_000)));
});

/** Without some features, so that `set` needs series that this one has not. */
function setWithout(...names: string[]): FeatureSet {
  const app = appForTests();
  for (const name of names) delete app.features[name];
  return compileFeatures(app);
}

test("of a checkpoint that lacks a series, what it has goes on, and the rest is named", () => {
  const events = streamOf(3);
  const bytes = encodeCheckpoint(filled(setWithout("lost_share", "targets", "targets_long"), events), POSITION);
  const decoded = decodeCheckpoint(set, bytes);
  assert.deepEqual(
    decoded.missing.map(({ entity, on, features }) => ({ entity, on, features })),
    [
      { entity: "depot", on: "parcel.lost", features: ["lost_share"] },
      { entity: "depot", on: "parcel.sent", features: ["targets", "targets_long"] },
    ],
  );
  const whole = filled(set, events);
  const request = { occurredAtMs: START_MS + 600_000, fields: fieldsOf({ depot: "north", target: "x" }) };
  const [kept, all] = [decoded.engine.read(request), whole.read(request)];
  set.names.forEach((name, index) => {
    if (/^lost_share|^targets/.test(name)) assert.ok(!Object.is(kept[index], all[index]), name);
    else assert.ok(Object.is(kept[index], all[index]), name);
  });
});

test("of a checkpoint of which nothing is known, nothing is kept; of one that has more than is needed, what nobody needs expires", () => {
  const nothing = appForTests();
  for (const [name, { atRequest }] of Object.entries(nothing.features)) {
    if (name !== "lost_share" && atRequest === "") delete nothing.features[name];
  }
  const few = compileFeatures(nothing);
  const others = encodeCheckpoint(filled(setWithout("lost_share"), streamOf(4)), POSITION);
  const none = decodeCheckpoint(few, others);
  assert.deepEqual([none.engine.size, none.engine.definitions, none.missing.length], [0, "", 1]);
  const decoded = decodeCheckpoint(few, encodeCheckpoint(filled(set, streamOf(4)), POSITION));
  assert.deepEqual(decoded.missing, []);
  assert.deepEqual(statesOf(decoded.engine), statesOf(filled(few, streamOf(4))));
  const lanes = ["=", "north", "s=C3=B6uth"].flatMap((depot) => [`lane.${depot}.x`, `lane.${depot}.y=2Ez`]);
  assert.deepEqual(decoded.engine.takeExpired().sort(), lanes.sort());
});

test("a window that grew needs a backfill of its series, while the shorter ones over it go on", () => {
  const events = streamOf(5);
  const bytes = encodeCheckpoint(filled(setWithout("weight_mean_long"), events.slice(0, 200), 60_000), POSITION);
  const decoded = decodeCheckpoint(set, bytes, { lookBackMs: 60_000 });
  assert.deepEqual(
    decoded.missing.map(({ features }) => features),
    [["weight_mean_long"]],
  );
  // What a second process restores is still known to lack it.
  const again = decodeCheckpoint(set, encodeCheckpoint(decoded.engine, POSITION));
  assert.deepEqual(
    again.missing.map(({ features }) => features),
    [["weight_mean_long"]],
  );
  apply(decoded.engine, events.slice(200));
  const whole = filled(set, events, 60_000);
  const request = { occurredAtMs: whole.knownAtMs, fields: fieldsOf({ depot: "north", target: "x" }) };
  const at = set.names.indexOf("weight_mean");
  assert.ok(Object.is(decoded.engine.read(request)[at], whole.read(request)[at]));
  decoded.engine.adoptSeries(whole);
  assert.deepEqual(decoded.engine.missing, []);
  assert.deepEqual(statesOf(decoded.engine), statesOf(whole));
});

test("an engine that adopts a backfill's series equals one that always had them, at any point, however often it does", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const random = randomNumbers(seed);
    const events = streamOf(seed, 200);
    const lookBackMs = seed % 3 === 0 ? 60_000 : 3_600_000;
    const dropped = set.names.filter((name) => random() < 0.3 && name !== "weight" && name !== "second");
    const older = setWithout(...dropped);
    const [first, second] = ascending(random(), random()).map((share) => Math.round(share * events.length));
    const message = `seed ${seed}, without ${dropped.join(", ")}, at ${first} and ${second}`;
    const bytes = encodeCheckpoint(filled(older, events.slice(0, first), lookBackMs), POSITION);
    const live = decodeCheckpoint(set, bytes, { lookBackMs }).engine;
    live.takeDirty();
    apply(live, events.slice(first, second));
    const { missing } = live;
    const reduced = compileMissing(set, missing);
    const neededFromMs = live.knownAtMs - reduced.longestWindowMs - lookBackMs;
    const needed = events.slice(0, second).filter(({ knownAtMs }) => knownAtMs >= neededFromMs);
    const backfill = filled(reduced, needed, lookBackMs);
    const before = statesOf(backfill);
    live.adoptSeries(backfill);
    assert.deepEqual(live.missing, [], message);
    const adopted = new Set(live.keysWith(new Set(missing.map(({ hash }) => hash))));
    for (const { key } of backfill.entities()) assert.ok(adopted.has(key), `${message}: ${key} is to be written`);
    apply(live, events.slice(second));
    const hashes = missing.map(({ hash }) => hash);
    live.adoptSeries(backfill, hashes);
    assert.equal(live.definitions, set.definitions, message);
    assert.deepEqual(statesOf(live), statesOf(filled(set, events, lookBackMs)), message);
    assert.deepEqual(readsOf(live, seed), readsOf(filled(set, events, lookBackMs), seed), message);
    assert.deepEqual(statesOf(backfill), before, message);
  }
});

test("series are not adopted from an engine that lacks them, or that is ahead; nothing has changed then", () => {
  const events = streamOf(6);
  const bytes = encodeCheckpoint(filled(setWithout("lost_share", "due_times"), events.slice(0, 100)), POSITION);
  const live = decodeCheckpoint(set, bytes).engine;
  const before = statesOf(live);
  const lacking = filled(setWithout("lost_share"), events.slice(0, 100));
  assert.throws(() => live.adoptSeries(lacking), /failed_precondition|does not have the whole series/);
  assert.throws(() => live.adoptSeries(filled(set, events)), /bring both to the same place in the log/);
  assert.throws(
    () => live.adoptSeries(filled(set, events.slice(0, 100)), [1n]),
    /this engine does not have the whole series 1/,
  );
  assert.deepEqual(statesOf(live), before);
  assert.equal(live.missing.length, 2);

  const shorter = setWithout("weight_mean_long");
  const grown = decodeCheckpoint(set, encodeCheckpoint(filled(shorter, events), POSITION)).engine;
  assert.throws(() => grown.adoptSeries(filled(shorter, events)), /the other engine does not have the whole series/);
});

test("an engine is exact only from when on what it adopted is", () => {
  const events = streamOf(7);
  const bytes = encodeCheckpoint(filled(setWithout("lost_share"), events), POSITION);
  const live = decodeCheckpoint(set, bytes).engine;
  live.adoptSeries(filled(set, events, 10_000));
  assert.equal(live.exactFromMs, live.knownAtMs - 10_000);
});

test("what an engine did not need for a while it does not have whole when it is needed again", () => {
  const shorter = setWithout("weight_mean_long");
  const decoded = decodeCheckpoint(shorter, encodeCheckpoint(filled(set, streamOf(8)), POSITION));
  assert.equal(decoded.engine.definitions, shorter.definitions);
  assert.equal(decodeCheckpoint(set, encodeCheckpoint(decoded.engine, POSITION)).missing.length, 1);
});
