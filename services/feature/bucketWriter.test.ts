import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { parseApp } from "@millrace/app";
import { featureBucket } from "@millrace/bus";
import { compileFeatures, FeatureEngine } from "@millrace/features";
import { startNats } from "@millrace/test-harness";
import { bits, readBucket } from "./bucketForTests.ts";
import { BucketWriter } from "./bucketWriter.ts";
import { FLIGHTS_APP, knownAtMs, randomFlights } from "./flightsForTests.ts";

const set = compileFeatures(parseApp(FLIGHTS_APP));

/** An engine with many entities, all changed. */
function changedEngine() {
  const log = randomFlights(2_000, 24);
  const endMs = Math.max(...log.map(knownAtMs));
  const engine = new FeatureEngine(set);
  for (const event of log) engine.apply(event);
  const position = {
    streamSequence: 7,
    completeBeforeMs: endMs,
    exactFromMs: endMs - 3_600_000,
    definitions: set.definitions,
  };
  return { log, endMs, engine, entities: engine.takeDirty(), position };
}

test("entities are readable once the write has ended, and deleted ones are gone; others may write to the bucket, too", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect("feature");
  const bucket = await bus.createKeyValue(featureBucket("flights"), { history: 1 });
  using writer = await BucketWriter.open(bus, "flights", { partition: 0, partitions: 2 });
  const { log, endMs, engine, entities, position } = changedEngine();
  await writer.write(engine, { entities, removed: [] }, position);
  for (const { event } of log.slice(-50)) {
    const request = { occurredAtMs: endMs, fields: event?.fields ?? {} };
    assert.equal(bits(await readBucket(bus, set, request)), bits(engine.read(request)));
  }
  const watermark = await writer.readWatermark();
  assert.equal(watermark?.streamSequence, 7n);
  assert.equal(watermark.definitions, set.definitions);
  assert.equal(watermark.exactFrom && timestampMs(watermark.exactFrom), Math.ceil(position.exactFromMs));
  await bucket.put("origin.elsewhere", "");
  const key = entities[0]?.key ?? "";
  await writer.write(engine, { entities: [], removed: [key] }, position);
  assert.equal((await bucket.get(key))?.operation, "DEL");
  assert.equal((await bucket.get(entities[1]?.key ?? ""))?.operation, "PUT");
});

test("of two writers of a partition, one notices: it writes no watermark over the other's", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect("feature");
  await bus.createKeyValue(featureBucket("flights"), { history: 1 });
  using first = await BucketWriter.open(bus, "flights", { partition: 0, partitions: 2 });
  using second = await BucketWriter.open(bus, "flights", { partition: 0, partitions: 2 });
  const { engine, position } = changedEngine();
  const nothing = { entities: [], removed: [] };
  await first.write(engine, nothing, position);
  await assert.rejects(second.write(engine, nothing, { ...position, streamSequence: 9 }), {
    code: "failed_precondition",
    message: /somebody else writes watermark\.0/,
  });
  await second.readWatermark();
  await second.write(engine, nothing, { ...position, streamSequence: 9 });
  await assert.rejects(first.write(engine, nothing, position), { code: "failed_precondition" });
  // Another partition is another watermark.
  using other = await BucketWriter.open(bus, "flights", { partition: 1, partitions: 2 });
  await other.write(engine, nothing, position);
  await second.write(engine, nothing, { ...position, streamSequence: 10 });
});

test("a write that cannot be certain says so, and can be repeated", async () => {
  await using nats = await startNats();
  await using admin = await nats.connect();
  await using bus = await nats.connect("feature");
  await bus.createKeyValue(featureBucket("flights"), { history: 1 });
  using writer = await BucketWriter.open(bus, "flights", { partition: 0, partitions: 2 });
  const { engine, entities, position } = changedEngine();
  const stream = `KV_${featureBucket("flights")}`;
  const { config } = await admin.manager.streams.info(stream);
  // Too small for most states, which are refused.
  await admin.manager.streams.update(stream, { ...config, max_msg_size: 100 });
  await assert.rejects(writer.write(engine, { entities, removed: [] }, position), { code: "unavailable" });
  assert.equal(await writer.readWatermark(), undefined, "no watermark covers what is not stored");
  await admin.manager.streams.update(stream, config);
  await writer.write(engine, { entities, removed: [] }, position);
  assert.equal((await writer.readWatermark())?.streamSequence, 7n);
});
