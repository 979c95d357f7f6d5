import assert from "node:assert/strict";
import { test } from "node:test";
import { parseApp } from "@millrace/app";
import { featureBucket } from "@millrace/bus";
import { compileFeatures, FeatureEngine } from "@millrace/features";
import { MillraceError } from "@millrace/runtime";
import { startNats } from "@millrace/test-harness";
import { bits, readBucket } from "./bucketForTests.ts";
import { BucketWriter } from "./bucketWriter.ts";
import { FLIGHTS_APP, knownAtMs, randomFlights } from "./flightsForTests.ts";

const set = compileFeatures(parseApp(FLIGHTS_APP));

test("entities are readable once the write has ended, and a write that cannot be certain says so", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect("feature");
  const bucket = await bus.createKeyValue(featureBucket("flights"), { history: 1 });
  const writer = new BucketWriter(bus, "flights", 0);
  const log = randomFlights(2_000, 24);
  const endMs = Math.max(...log.map(knownAtMs));
  const engine = new FeatureEngine(set);
  for (const event of log) engine.apply(event);
  const entities = engine.takeDirty();
  const position = { streamSequence: 7, completeBeforeMs: endMs };
  await writer.write(engine, entities, position);
  for (const { event } of log.slice(-50)) {
    const request = { occurredAtMs: endMs, fields: event?.fields ?? {} };
    assert.equal(bits(await readBucket(bus, set, request)), bits(engine.read(request)));
  }
  assert.equal((await writer.readWatermark())?.streamSequence, 7n);
  // One message more than was sent looks just as one message less would: the sequence is not the expected one.
  await bucket.put("origin.elsewhere", "");
  await assert.rejects(
    writer.write(engine, entities, position),
    (error) =>
      error instanceof MillraceError && error.code === "unavailable" && /lost, or somebody else/.test(error.message),
  );
  await writer.write(engine, entities, position);
});
