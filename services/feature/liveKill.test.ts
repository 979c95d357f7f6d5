import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { applyApp, parseApp } from "@millrace/app";
import { type Bus, featureBucket } from "@millrace/bus";
import { compileFeatures, FeatureEngine } from "@millrace/features";
import { type AcceptedEvent, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { silentLogger, systemClock } from "@millrace/runtime";
import { startNats, type TestNats } from "@millrace/test-harness";
import { bits, readBucket, readWatermark, waitForSequence } from "./bucketForTests.ts";
import type { Config } from "./config.ts";
import { FLIGHTS_APP, knownAtMs, pieces, publishAccepted, randomFlights } from "./flightsForTests.ts";
import { LivePartition } from "./livePartition.ts";
import { randomNumbers } from "./randomForTests.ts";

const LIVES = 250;
/** Of event time, less than the log is long: much is dropped on the way. */
const LOOK_BACK_MS = 3_600_000;

const set = compileFeatures(parseApp(FLIGHTS_APP));

const configFor = (nats: TestNats): Config => ({
  bus: nats.as("feature"),
  grpcAddress: "127.0.0.1:0",
  eventLogAddress: "127.0.0.1:0",
  replicas: 1,
  checkpointIntervalMs: 1,
  catchUpFlushMs: 0,
  idleFlushMs: 10,
  lookBackMs: LOOK_BACK_MS,
  partitions: 1,
  replica: "test",
  leaseMs: 5_000,
});

/**
 * Ends a connection at its `operations`-th message to the server, without sending that one or anything after it, as a kill -9 of the process
 * would. Resolves when that has happened.
 */
function killAt(bus: Bus, operations: number): Promise<void> {
  const dead = Promise.withResolvers<void>();
  const { connection } = bus;
  let left = operations;
  const mortal = <Call extends (...args: never[]) => unknown>(call: Call): Call =>
    ((...args: never[]) => {
      left -= 1;
      if (left <= 0) {
        void connection.close();
        dead.resolve();
        throw new Error("killed");
      }
      return call(...args);
    }) as Call;
  connection.publish = mortal(connection.publish.bind(connection));
  connection.request = mortal(connection.request.bind(connection));
  return dead.promise;
}

async function startLife(nats: TestNats, bus: Bus): Promise<LivePartition> {
  return LivePartition.start({
    bus,
    app: "flights",
    share: { partition: 0, partitions: 1 },
    set,
    config: configFor(nats),
    clock: systemClock,
    logger: silentLogger,
    onFailure: () => undefined,
  });
}

/** Flights from many airports, so that what is not written once is not written by chance with the next event. */
function manyAirports(): AcceptedEvent[] {
  const log = randomFlights(2_500, 48, 5);
  for (const { event } of log) {
    const index = Number(event?.id.replace(/^\D+/, ""));
    if (event !== undefined)
      event.fields["origin"] = create(ValueSchema, { kind: { case: "stringValue", value: `A${index % 300}` } });
  }
  return log;
}

/**
 * What a reader may rely on, at any moment: features at the watermark, and at any time before it from which on it says that they are
 * exact, are those of all events. Answers how many reads that were.
 */
async function assertReaderIsRight(
  bus: Bus,
  reference: FeatureEngine,
  log: readonly AcceptedEvent[],
  random: () => number,
  reads: number,
): Promise<number> {
  const watermark = await readWatermark(bus);
  if (watermark?.eventTime === undefined || watermark.exactFrom === undefined) return 0;
  const eventTimeMs = timestampMs(watermark.eventTime);
  const exactFromMs = timestampMs(watermark.exactFrom);
  const known = log.filter((event) => knownAtMs(event) < eventTimeMs);
  for (let read = 0; read < reads; read += 1) {
    const { event } = known[Math.floor((1 - random() ** 3) * known.length)] ?? known.at(-1) ?? assert.fail();
    const occurredAtMs = read % 2 === 0 ? eventTimeMs : exactFromMs + random() * (eventTimeMs - exactFromMs);
    const request = { occurredAtMs, fields: event?.fields ?? {} };
    const expected = bits(reference.read(request));
    assert.equal(bits(await readBucket(bus, set, request)), expected, `${event?.id} at ${occurredAtMs}`);
  }
  return reads;
}

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
      const live = await startLife(nats, mortalBus);
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
  await using _ = await startLife(nats, lastBus);
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
  await using _ = await startLife(nats, serviceBus);
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
