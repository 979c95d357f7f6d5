import assert from "node:assert/strict";
import { test } from "node:test";
import { applyApp, parseApp } from "@millrace/app";
import { type Bus, featureBucket } from "@millrace/bus";
import { compileFeatures, FeatureEngine } from "@millrace/features";
import { silentLogger, systemClock } from "@millrace/runtime";
import { startNats, type TestNats, waitFor } from "@millrace/test-harness";
import { bits, readBucket, readWatermark } from "./bucketForTests.ts";
import type { Config } from "./config.ts";
import { FLIGHTS_APP, knownAtMs, pieces, publishAccepted, randomFlights } from "./flightsForTests.ts";
import { LiveApp } from "./liveApp.ts";
import { partitionOf } from "./partitioning.ts";

const set = compileFeatures(parseApp(FLIGHTS_APP));

function start(nats: TestNats, bus: Bus, partitions: number): Promise<LiveApp> {
  const config: Config = {
    bus: nats.as("feature"),
    grpcAddress: "127.0.0.1:0",
    eventLogAddress: "127.0.0.1:0",
    replicas: 1,
    checkpointIntervalMs: 20,
    catchUpFlushMs: 5,
    idleFlushMs: 50,
    lookBackMs: 3_600_000,
    partitions,
    replica: "test",
    leaseMs: 5_000,
  };
  return LiveApp.start({
    bus,
    app: "flights",
    set,
    config,
    clock: systemClock,
    logger: silentLogger,
    readLog: () => assert.fail("nothing is missing"),
    onFailure: (error) => assert.fail(String(error)),
  });
}

/** Waits until every partition has come to `sequence`. */
const allReach = (bus: Bus, partitions: number, sequence: number): Promise<unknown> =>
  waitFor(async () => {
    for (let partition = 0; partition < partitions; partition += 1) {
      const watermark = await readWatermark(bus, partition);
      if (watermark === undefined || watermark.streamSequence < BigInt(sequence)) return false;
      assert.equal(watermark.partitions, partitions);
    }
    return true;
  });

test("one partition and four give the same features, each its own entities, also after a restart", async () => {
  const log = randomFlights(2_000, 48, 3);
  const engine = new FeatureEngine(set);
  for (const event of log) engine.apply(event);
  const states: Map<string, string>[] = [];
  for (const partitions of [1, 4]) {
    await using nats = await startNats();
    await using bus = await nats.connect();
    await applyApp(bus, FLIGHTS_APP);
    await using serviceBus = await nats.connect("feature");
    const parts = pieces(log, 200);
    let sequence = 0;
    for (const half of [parts.slice(0, 10), parts.slice(10)]) {
      await using _ = await start(nats, serviceBus, partitions);
      for (const part of half) sequence = await publishAccepted(bus, part);
      await allReach(bus, partitions, sequence);
    }
    const bucket = await bus.keyValue(featureBucket("flights"));
    const entities = new Map<string, string>();
    for await (const key of await bucket.keys()) {
      const entry = key.startsWith("watermark.") ? null : await bucket.get(key);
      if (entry?.operation === "PUT") entities.set(key, Buffer.from(entry.value).toString("hex"));
    }
    states.push(entities);
    const end = knownAtMs(log.at(-1) ?? assert.fail());
    for (const { event } of log.slice(-200)) {
      const request = { occurredAtMs: end, fields: event?.fields ?? {} };
      assert.equal(bits(await readBucket(bus, set, request)), bits(engine.read(request)), event?.id);
    }
  }
  const [one, four] = states;
  assert.deepEqual([...(four?.keys() ?? [])].sort(), [...(one?.keys() ?? [])].sort());
  const owners = new Set([...(one?.keys() ?? [])].map((key) => partitionOf(key, 4)));
  assert.equal(owners.size, 4);
});

test("another number of partitions than the features were made with is refused, with what to do", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await applyApp(bus, FLIGHTS_APP);
  await using serviceBus = await nats.connect("feature");
  {
    await using _ = await start(nats, serviceBus, 2);
    await allReach(bus, 2, await publishAccepted(bus, randomFlights(50, 4)));
  }
  await assert.rejects(
    start(nats, serviceBus, 3),
    /is divided into 2 partitions, and FEATURE_PARTITIONS is 3\. Set it to 2; or stop/,
  );
  await using _ = await start(nats, serviceBus, 2);
});
