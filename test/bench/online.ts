/**
 * Reading one prediction's features: from the gateway's near cache, past it, and from the store without one.
 *
 * A week of real flights goes through ingestion and the feature service; then the features of the next day's flights are read, one after the
 * other, in three ways. Hit: the gateway's near cache holds every entity. Miss: it may hold next to nothing, so most entities
 * are read from NATS first. The yardstick is an online store as others have it: each entity is read from the bucket, all of a prediction at
 * once, decoded, and made into the same vector; it has to be equal to the last bit.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { parseApp } from "@millrace/app";
import { connectBus, featureBucket } from "@millrace/bus";
import { compileFeatures, type FeatureRequest } from "@millrace/features";
import { APP, DATA_FROM_MS, type Flights, readFlights, requestFields, Timeline } from "@millrace/flight-delays";
import { type EntityState, EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { PredictRequestSchema } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { silentLogger, systemClock } from "@millrace/runtime";
import { startTestPlatform, waitFor } from "@millrace/test-harness";
import { FeatureCache } from "../../services/inference-gateway/featureCache.ts";
import { applyFlightDelays, publishFlights } from "./ingest/publishFlights.ts";

const DAY_MS = 86_400_000;
const DAYS = 7;
const READS = 20_000;
/** The first reads compile the code. */
const WARM_UP = 2_000;
const AIM = 50;
const QUIET_MS = 5_000;

interface Latency {
  readonly p50Microseconds: number;
  readonly p99Microseconds: number;
}

type Read = (request: FeatureRequest) => Float64Array | Promise<Float64Array>;

/** Reads one request after the other; returns the vectors, too. */
async function measure(requests: readonly FeatureRequest[], read: Read): Promise<[Latency, Float64Array[]]> {
  const durations = new Float64Array(requests.length);
  const vectors: Float64Array[] = [];
  for (const [index, request] of requests.entries()) {
    const startNs = process.hrtime.bigint();
    const reading = read(request);
    const vector = reading instanceof Promise ? await reading : reading;
    durations[index] = Number(process.hrtime.bigint() - startNs) / 1_000;
    vectors.push(vector);
  }
  const sorted = durations.slice(WARM_UP).sort();
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] as number;
  return [{ p50Microseconds: at(0.5), p99Microseconds: at(0.99) }, vectors];
}

function requestsOf(flights: Flights): FeatureRequest[] {
  const step = Math.max(1, Math.floor(flights.count / READS));
  const indexes = Array.from({ length: READS }, (_, index) => (index * step) % flights.count);
  return indexes.map((index) => ({
    occurredAtMs: flights.departureMs[index] as number,
    fields: create(PredictRequestSchema, { fields: requestFields(flights, index) }).fields,
  }));
}

let lastHappeningMs = 0;

/** How many events happen before a time. */
function happeningsBefore(ms: number): number {
  const timeline = new Timeline(week);
  let count = 0;
  for (; timeline.nextMs < ms; count += 1) lastHappeningMs = timeline.next()?.atMs ?? 0;
  return count;
}

const show = (name: string, { p50Microseconds, p99Microseconds }: Latency): void =>
  console.log(
    `${name.padEnd(22)} p50 ${p50Microseconds.toFixed(1).padStart(8)} µs  p99 ${p99Microseconds.toFixed(1).padStart(8)} µs`,
  );

const firstOfDay = DATA_FROM_MS + DAYS * DAY_MS;
const week = await readFlights(DATA_FROM_MS, firstOfDay);
const requests = requestsOf(await readFlights(firstOfDay, firstOfDay + DAY_MS));
const app = parseApp(await readFile(join(import.meta.dirname, "../../deploy/apps/flight-delays/app.yaml"), "utf8"));
const set = compileFeatures(app);

await using system = await startTestPlatform({ services: ["ingestion", "feature"] });
await using bus = await connectBus(system.platform.nats("admin"), "bench", silentLogger);
await applyFlightDelays(bus);
// Nothing of the day itself, whose landings would make the features of its morning old while they are read.
const events = await publishFlights(bus, week, happeningsBefore(firstOfDay));
await using cache = new FeatureCache({
  bus,
  app: APP,
  maxBytes: 1 << 30,
  graceMs: 1_000,
  clock: systemClock,
  logger: silentLogger,
});
await waitFor(() => cache.asOf !== undefined && timestampMs(cache.asOf) >= lastHappeningMs, {
  deadlineMs: 120_000,
  what: "the features of a week",
});
// What lies in tiles that are not over yet is written when nothing has come for a while.
let revision = 0;
let since = performance.now();
await waitFor(
  async () => {
    const { last_seq: now } = (await bus.manager.streams.info(`KV_${featureBucket(APP)}`)).state;
    if (now !== revision) since = performance.now();
    revision = now;
    return performance.now() - since > QUIET_MS;
  },
  { deadlineMs: 60_000, everyMs: 100, what: "the bucket to come to rest" },
);
console.log(
  `${events.toLocaleString("en")} events made ${cache.entities.toLocaleString("en")} entities, ${(cache.bytes / 2 ** 20).toFixed(0)} MiB in the near cache`,
);
await using small = new FeatureCache({
  bus,
  app: APP,
  maxBytes: 256 * 1_024,
  graceMs: 1_000,
  clock: systemClock,
  logger: silentLogger,
});
await small.firstRead;
const bucket = await bus.keyValue(featureBucket(APP));

async function fromStore(request: FeatureRequest): Promise<Float64Array> {
  const states = new Map<string, EntityState>();
  await Promise.all(
    set.entityKeys(request.fields).map(async (key) => {
      const entry = await bucket.get(key);
      if (entry?.operation === "PUT") states.set(key, fromBinary(EntityStateSchema, entry.value));
    }),
  );
  return set.vector(request, (key) => states.get(key));
}

async function throughCache(of: FeatureCache, request: FeatureRequest): Promise<Float64Array> {
  return set.vector(request, (await of.fetch(() => set.entityKeys(request.fields))) ?? of.lookup);
}

const [store, expected] = await measure(requests, fromStore);
show("store, no cache", store);
const hitSync: Read = (request) =>
  cache.fetch(() => set.entityKeys(request.fields)) === undefined
    ? set.vector(request, cache.lookup)
    : throughCache(cache, request);
const [hit, hitVectors] = await measure(requests, hitSync);
show("near cache, hit", hit);
const [miss, missVectors] = await measure(requests, (request) => throughCache(small, request));
show("near cache, miss", miss);
for (const [index, vector] of expected.entries()) {
  for (const other of [hitVectors[index], missVectors[index]]) {
    if (!vector.every((value, feature) => Object.is(value, other?.[feature]))) {
      throw new Error(`prediction ${index}: ${other?.join(", ")} instead of ${vector.join(", ")}`);
    }
  }
}
console.log(`${expected.length.toLocaleString("en")} vectors are equal to the last bit in all three ways`);
console.log(
  JSON.stringify({
    bench: "online",
    ratio: store.p50Microseconds / hit.p50Microseconds,
    aim: AIM,
    yardstick: "p50 of reading the same entities from the bucket, one request per entity, all of a prediction at once",
    figures: { reads: READS, features: set.names.length, entities: cache.entities, hit, miss, store },
  }),
);
