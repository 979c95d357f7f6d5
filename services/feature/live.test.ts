import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { applyApp, parseApp } from "@millrace/app";
import type { Bus, BusConfig } from "@millrace/bus";
import { compileFeatures, FeatureEngine } from "@millrace/features";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { silentLogger, systemClock } from "@millrace/runtime";
import { startNats } from "@millrace/test-harness";
import { bits, readBucket, waitForSequence } from "./bucketForTests.ts";
import type { Config } from "./config.ts";
import { Dataset } from "./dataset.ts";
import {
  asRead,
  FLIGHTS_APP,
  knownAtMs,
  occurredAtMs,
  pieces,
  publishAccepted,
  randomFlights,
} from "./flightsForTests.ts";
import { LiveApps } from "./liveApps.ts";

const app = parseApp(FLIGHTS_APP);
const set = compileFeatures(app);

const configFor = (bus: BusConfig): Config => ({
  bus,
  grpcAddress: "127.0.0.1:0",
  eventLogAddress: "127.0.0.1:0",
  replicas: 1,
  checkpointIntervalMs: 50,
  catchUpFlushMs: 20,
  idleFlushMs: 500,
  lookBackMs: 3_600_000,
  partitions: 1,
  replica: "test",
  leaseMs: 5_000,
});

const isPrediction = ({ event }: AcceptedEvent): boolean => event?.type === "flight.scheduled";

function datasetRows(log: readonly AcceptedEvent[]): Map<string, string> {
  const dataset = new Dataset({ app, fromMs: undefined, toMs: undefined, knownBeforeMs: undefined });
  for (const event of log) dataset.add(asRead(event));
  dataset.finish();
  return new Map(dataset.takeRows().map(({ key, features }) => [key, bits(features)]));
}

test("features read live at each prediction equal the dataset's row, bit for bit", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await applyApp(bus, FLIGHTS_APP);
  await using serviceBus = await nats.connect("feature");
  await using _live = await LiveApps.start({
    bus: serviceBus,
    config: configFor(nats.as("feature")),
    clock: systemClock,
    logger: silentLogger,
    readLog: () => assert.fail("nothing is missing"),
    onFailure: (error) => assert.fail(String(error)),
  });
  const log = randomFlights(1_500, 48);
  const expected = datasetRows(log);
  let compared = 0;
  for (const piece of pieces(log, 100)) {
    const watermark = await waitForSequence(bus, await publishAccepted(bus, piece));
    for (const { event } of piece.filter(isPrediction)) {
      const at = piece.find((other) => other.event === event);
      assert.ok(event && at);
      // Live, nobody asks about what lies more than the look-back behind.
      if (occurredAtMs(at) > watermark || occurredAtMs(at) < watermark - 3_600_000) continue;
      const vector = await readBucket(bus, set, { occurredAtMs: occurredAtMs(at), fields: event.fields });
      assert.equal(bits(vector), expected.get(event.id.replace("flight.scheduled/", "")), event.id);
      compared += 1;
    }
  }
  assert.ok(compared > 500, `${compared} compared`);
});

interface Started extends AsyncDisposable {
  kill(): Promise<void>;
}

function startService(config: BusConfig): Started {
  const child: ChildProcess = spawn(process.execPath, [new URL("./main.ts", import.meta.url).pathname], {
    stdio: ["pipe", "ignore", "inherit"],
    env: {
      ...process.env,
      NATS_URL: config.url,
      NATS_USER: config.user,
      NATS_PASSWORD: config.password,
      MILLRACE_GRPC_ADDRESS: "127.0.0.1:0",
      MILLRACE_HTTP_PORT: "0",
      MILLRACE_PARENT: "stdin",
      CHECKPOINT_INTERVAL_MS: "30",
      CATCH_UP_FLUSH_MS: "5",
      IDLE_FLUSH_MS: "100",
      FEATURE_REPLICA: "the only one",
    },
  });
  const exited = once(child, "exit");
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  };
  return { kill: () => end("SIGKILL"), [Symbol.asyncDispose]: () => end("SIGTERM") };
}

async function assertSameAsEngine(bus: Bus, log: readonly AcceptedEvent[]): Promise<void> {
  const engine = new FeatureEngine(set);
  for (const event of log) engine.apply(event);
  const end = knownAtMs(log.at(-1) as AcceptedEvent);
  for (const { event } of log.filter(isPrediction).slice(-200)) {
    assert.ok(event);
    const request = { occurredAtMs: end, fields: event.fields };
    assert.equal(bits(await readBucket(bus, set, request)), bits(engine.read(request)), event.id);
  }
}

test("killed again and again, with batches coming twice, the service ends with the features of one that never stopped", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await applyApp(bus, FLIGHTS_APP);
  const log = randomFlights(3_000, 48, 5);
  const parts = pieces(log, 40);
  const quarter = Math.ceil(parts.length / 4);
  let sequence = 0;
  for (let round = 0; round < 4; round += 1) {
    await using service = startService(nats.as("feature"));
    const batches = parts.slice(round * quarter, (round + 1) * quarter);
    for (const batch of batches) sequence = await publishAccepted(bus, batch);
    // As after a crash of ingestion longer ago than the broker remembers: the same batch under a new message id.
    sequence = await publishAccepted(bus, batches[0] ?? [], "again/");
    if (round === 3) {
      await waitForSequence(bus, sequence);
      break;
    }
    // Somewhere on the way.
    await waitForSequence(bus, Math.floor(sequence * (0.4 + round * 0.2)));
    await service.kill();
  }
  await assertSameAsEngine(bus, log);
});
