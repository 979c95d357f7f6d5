import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, featureBucket, type KV } from "@millrace/bus";
import { compileFeatures } from "@millrace/features";
import { Aggregate, AppSchema, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { startNats, waitFor } from "@millrace/test-harness";
import { FeatureCache, type FeatureCacheOptions } from "./featureCache.ts";
import { monotonicClock } from "./gateway.ts";

const APP = "flights";

const state = (count: number): Uint8Array =>
  toBinary(
    EntityStateSchema,
    create(EntityStateSchema, { series: [{ definition: 1n, firstTile: 1n, tileSteps: [0], components: [count] }] }),
  );
const watermark = (ms: number, partitions = 1): Uint8Array =>
  toBinary(WatermarkSchema, create(WatermarkSchema, { eventTime: timestampFromMs(ms), partitions }));
const countOf = (cache: FeatureCache, key: string): number | undefined => cache.lookup(key)?.series[0]?.components[0];
const asOfMs = (cache: FeatureCache): number | undefined => cache.asOf && timestampMs(cache.asOf);

/** The bus, but for the answers of buckets to reads, which are kept back until `before` has resolved. */
function answersLate(bus: Bus, before: () => Promise<void>): Bus {
  return Object.create(bus, {
    keyValue: {
      value: async (name: string): Promise<KV> => {
        const bucket = await bus.keyValue(name);
        const get = async (key: string) => {
          const entry = await bucket.get(key);
          await before();
          return entry;
        };
        return new Proxy(bucket, {
          get(target, property) {
            if (property === "get") return get;
            const value: unknown = Reflect.get(target, property);
            return typeof value === "function" ? value.bind(target) : value;
          },
        });
      },
    },
  });
}

async function start(options: Partial<FeatureCacheOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const nats = stack.use(await startNats());
  const admin = stack.use(await nats.connect());
  const bus = stack.use(await nats.connect("inference-gateway"));
  const makeBucket = (): Promise<KV> => admin.createKeyValue(featureBucket(APP), { history: 1 });
  const startCache = (through: Bus = bus): FeatureCache =>
    stack.use(
      new FeatureCache({
        bus: through,
        app: APP,
        maxBytes: 1 << 20,
        graceMs: 50,
        clock: monotonicClock,
        logger: silentLogger,
        ...options,
      }),
    );
  return { nats, bus, makeBucket, startCache, [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose]() };
}

test("it holds what the bucket held, then follows: when the watermark is there, so are the entities before it", async () => {
  await using setup = await start();
  const bucket = await setup.makeBucket();
  await bucket.put("origin.SFO", state(1));
  await bucket.put("watermark.0", watermark(1_000));
  const cache = setup.startCache();
  await cache.firstRead;
  assert.equal(cache.problem(), undefined);
  assert.equal(countOf(cache, "origin.SFO"), 1);
  assert.equal(cache.lookup("origin.LAX"), undefined);
  assert.equal(asOfMs(cache), 1_000);
  for (let round = 2; round < 200; round += 1) {
    await Promise.all([
      bucket.put("origin.SFO", state(round)),
      bucket.put("origin.LAX", state(round)),
      bucket.put("watermark.0", watermark(round * 1_000)),
    ]);
    if (round % 10 !== 0) continue;
    await waitFor(() => asOfMs(cache) === round * 1_000, { everyMs: 1 });
    assert.equal(countOf(cache, "origin.SFO"), round);
    assert.equal(countOf(cache, "origin.LAX"), round);
  }
  await bucket.delete("origin.LAX");
  await waitFor(() => cache.lookup("origin.LAX") === undefined);
});

test("who asks for the features of a moment is told once they have come, at once when they are there", async () => {
  await using setup = await start();
  const bucket = await setup.makeBucket();
  await bucket.put("watermark.0", watermark(1_000));
  const cache = setup.startCache();
  await cache.firstRead;
  assert.equal(cache.untilKnown(1_000), undefined);
  using soon = cache.untilKnown(2_000);
  using later = cache.untilKnown(3_000);
  let early = false;
  void later?.come.then(() => {
    early = true;
  });
  await bucket.put("origin.SFO", state(7));
  await bucket.put("watermark.0", watermark(2_000));
  await soon?.come;
  assert.equal(countOf(cache, "origin.SFO"), 7);
  assert.equal(early, false);
  await bucket.put("watermark.0", watermark(3_500));
  await later?.come;
});

test("with several partitions the oldest watermark counts, once all are there", async () => {
  await using setup = await start();
  const bucket = await setup.makeBucket();
  await bucket.put("watermark.0", watermark(5_000, 3));
  await bucket.put("watermark.2", watermark(4_000, 3));
  const cache = setup.startCache();
  await cache.firstRead;
  assert.equal(asOfMs(cache), undefined);
  await bucket.put("watermark.1", watermark(3_000, 3));
  await waitFor(() => asOfMs(cache) === 3_000);
  await bucket.put("watermark.1", watermark(9_000, 3));
  await waitFor(() => asOfMs(cache) === 4_000);
  // Of an earlier division.
  await bucket.put("watermark.3", watermark(1, 3));
  await bucket.put("watermark.2", watermark(6_000, 3));
  await waitFor(() => asOfMs(cache) === 5_000);
});

test("features that a partition does not hold whole are told: at once when it holds them no more, when they are readable if they are new", async () => {
  await using setup = await start();
  const bucket = await setup.makeBucket();
  const counts = { entity: "origin", on: "flight.landed", aggregate: Aggregate.COUNT };
  const set = compileFeatures(
    create(AppSchema, {
      app: APP,
      entities: { origin: { key: ["origin"] } },
      events: { "flight.landed": { version: 1, fields: { origin: { type: FieldType.STRING } } } },
      prediction: { at: "flight.landed" },
      features: {
        hour: { atRequest: "request.occurred_at.getHours()" },
        landings_day: { ...counts, window: { seconds: 86_400n }, tile: { seconds: 3_600n } },
        landings_week: { ...counts, window: { seconds: 604_800n }, tile: { seconds: 3_600n } },
        minutes: { ...counts, window: { seconds: 3_600n }, tile: { seconds: 60n } },
      },
    }),
  );
  const [hours = "", minutes = ""] = ["/168", "/60"].map((tiles) =>
    set.definitions.split(" ").find((series) => series.endsWith(tiles)),
  );
  const tell = async (partition: number, definitions?: string): Promise<void> => {
    const told = {
      eventTime: timestampFromMs(1),
      partitions: 2,
      ...(definitions === undefined ? {} : { definitions }),
    };
    await bucket.put(`watermark.${partition}`, toBinary(WatermarkSchema, create(WatermarkSchema, told)));
  };
  await tell(0);
  await tell(1, hours.replace("/168", "/24"));
  const cache = setup.startCache();
  await cache.firstRead;
  const lacking = (): string[] => cache.lacking(set).map((place) => set.names[place] ?? "");
  assert.deepEqual(lacking(), ["landings_week", "minutes"]);
  await tell(1, `${hours} ${minutes}`);
  await waitFor(() => lacking().length === 0);
  await tell(0, hours);
  await waitFor(() => lacking().join() === "minutes");
  await tell(0, minutes);
  await waitFor(() => lacking().join() === "landings_day,landings_week");
  await tell(0, set.definitions);
  await waitFor(() => lacking().length === 0);
});

test("its memory is bounded, and what was evicted is read again when it is needed", async () => {
  const maxBytes = 20_000;
  await using setup = await start({ maxBytes });
  const bucket = await setup.makeBucket();
  const keys = Array.from({ length: 500 }, (_, index) => `origin.A${index}`);
  await Promise.all(keys.map((key, index) => bucket.put(key, state(index))));
  await bucket.put("watermark.0", watermark(1));
  const cache = setup.startCache();
  await cache.firstRead;
  assert.ok(cache.entities < 200);
  for (const [index, key] of keys.entries()) {
    await cache.fetch(() => [key, "origin.none"]);
    assert.equal(countOf(cache, key), index);
    assert.deepEqual(cache.lookup("origin.none")?.series ?? [], []);
    assert.ok(cache.bytes <= maxBytes * 1.1, `${cache.bytes} bytes`);
  }
});

test("what a prediction has fetched stays with it, though the cache is too small to hold it", async () => {
  await using setup = await start({ maxBytes: 1 });
  const bucket = await setup.makeBucket();
  const keys = ["origin.SFO", "destination.LAX", "route.SFO.LAX"];
  await Promise.all(keys.map((key, index) => bucket.put(key, state(index + 1))));
  await bucket.put("watermark.0", watermark(1));
  const cache = setup.startCache();
  await cache.firstRead;
  const lookups = await Promise.all(Array.from({ length: 50 }, async () => await cache.fetch(() => keys)));
  for (const lookup of lookups) {
    assert.deepEqual(
      keys.map((key) => lookup?.(key)?.series[0]?.components[0]),
      [1, 2, 3],
    );
  }
});

test("a state that is read while the watch brings a newer one is not taken for the newest", async () => {
  await using setup = await start({ maxBytes: 1 });
  const bucket = await setup.makeBucket();
  await bucket.put("origin.SFO", state(1));
  await bucket.put("watermark.0", watermark(1));
  const answered = Promise.withResolvers<undefined>();
  const held = Promise.withResolvers<undefined>();
  const cache = setup.startCache(
    answersLate(setup.bus, async () => {
      answered.resolve(undefined);
      await held.promise;
    }),
  );
  await cache.firstRead;
  const fetching = cache.fetch(() => ["origin.SFO"]);
  await answered.promise;
  await bucket.put("origin.SFO", state(2));
  await bucket.put("watermark.0", watermark(2));
  await waitFor(() => asOfMs(cache) === 2);
  held.resolve(undefined);
  const lookup = await fetching;
  assert.equal(lookup?.("origin.SFO")?.series[0]?.components[0], 2);
});

test("without a bucket, and without NATS, it says why the features cannot be used; with them it goes on", async () => {
  await using setup = await start();
  const cache = setup.startCache();
  await cache.firstRead;
  assert.match(cache.problem() ?? "", /features are not followed: the bucket features_flights does not exist/);
  const bucket = await setup.makeBucket();
  await bucket.put("origin.SFO", state(1));
  await waitFor(() => cache.problem() === undefined);
  assert.equal(countOf(cache, "origin.SFO"), 1);
  await setup.nats[Symbol.asyncDispose]();
  await waitFor(() => cache.problem() !== undefined);
  assert.match(cache.problem() ?? "", /features are not followed: NATS is not connected/);
});
