import assert from "node:assert/strict";
import { test } from "node:test";
import { applyApp, parseApp } from "@millrace/app";
import { featureBucket } from "@millrace/bus";
import { compileFeatures, FeatureEngine } from "@millrace/features";
import { startNats } from "@millrace/test-harness";
import { readWatermark, waitForSequence } from "./bucketForTests.ts";
import { FLIGHTS_APP, pieces, publishAccepted } from "./flightsForTests.ts";
import { assertReaderIsRight, killAt, manyAirports, startLife } from "./lifeForTests.ts";
import { randomNumbers } from "./randomForTests.ts";

const LIVES = 250;

const set = compileFeatures(parseApp(FLIGHTS_APP));
const nothingMissing = () => assert.fail("nothing is missing");

test(`killed at ${LIVES} random moments, a reader is never wrong, and at the end all is there`, async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await applyApp(bus, FLIGHTS_APP);
  await bus.createKeyValue(featureBucket("flights"), { history: 1, replicas: 1 });
  const random = randomNumbers(7);
  const log = manyAirports();
  const reference = new FeatureEngine(set, { lookBackMs: 1e12 });
  for (const event of log) reference.apply(event);
  const parts = pieces(log, Math.ceil(log.length / LIVES));
  let sequence = 0;
  let died = 0;
  let compared = 0;
  let newest = 0n;
  for (const [life, part] of parts.entries()) {
    sequence = await publishAccepted(bus, part);
    // As after a crash of ingestion longer ago than the broker remembers: an earlier batch under a new message id.
    const earlier = parts[life - 1 - Math.floor(random() * 3)];
    if (life % 5 === 3 && earlier !== undefined) sequence = await publishAccepted(bus, earlier, `again/${life}/`);
    const mortalBus = await nats.connect("feature");
    const dead = killAt(mortalBus, 1 + Math.floor(random() ** 2 * 120));
    try {
      const live = await startLife(nats, mortalBus, set, nothingMissing);
      const ended = await Promise.race([
        dead.then(() => "killed"),
        waitForSequence(bus, sequence, 2_000).then(
          () => "caught up",
          () => "late",
        ),
      ]);
      if (ended === "killed") died += 1;
      void mortalBus.connection.close();
      await live[Symbol.asyncDispose]();
    } catch {
      // It did not live to see its start.
      died += 1;
    }
    await mortalBus[Symbol.asyncDispose]();
    compared += await assertReaderIsRight(bus, reference, log, random, 6);
    const reached = (await readWatermark(bus))?.streamSequence ?? 0n;
    assert.ok(reached >= newest, `the watermark fell from ${newest} to ${reached}`);
    newest = reached;
  }
  assert.ok(died > LIVES / 2, `${died} of ${LIVES} were killed while they worked`);
  assert.ok(compared > 4 * LIVES, `${compared} compared`);

  await using lastBus = await nats.connect("feature");
  await using _ = await startLife(nats, lastBus, set, nothingMissing);
  await waitForSequence(bus, sequence);
  await assertReaderIsRight(bus, reference, log, random, 2_000);
});

test("a bucket that refuses for a while, as one that is full, loses nothing", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await applyApp(bus, FLIGHTS_APP);
  await bus.createKeyValue(featureBucket("flights"), { history: 1, replicas: 1 });
  const random = randomNumbers(11);
  const log = manyAirports().slice(0, 1_500);
  const reference = new FeatureEngine(set, { lookBackMs: 1e12 });
  for (const event of log) reference.apply(event);
  await using serviceBus = await nats.connect("feature");
  await using _ = await startLife(nats, serviceBus, set, nothingMissing);
  const stream = `KV_${featureBucket("flights")}`;
  const { config } = await bus.manager.streams.info(stream);
  let sequence = 0;
  for (const [index, part] of pieces(log, 50).entries()) {
    // Watermarks fit, and hardly any state.
    await bus.manager.streams.update(stream, { ...config, max_msg_size: index % 3 === 0 ? 90 : -1 });
    sequence = await publishAccepted(bus, part);
    if (index % 3 === 2) await waitForSequence(bus, sequence);
    await assertReaderIsRight(bus, reference, log, random, 6);
  }
  await bus.manager.streams.update(stream, config);
  await waitForSequence(bus, sequence);
  await assertReaderIsRight(bus, reference, log, random, 1_000);
});
