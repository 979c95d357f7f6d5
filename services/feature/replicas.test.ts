import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { applyApp, parseApp } from "@millrace/app";
import type { Bus, BusConfig } from "@millrace/bus";
import { compileFeatures, FeatureEngine } from "@millrace/features";
import { startNats, waitFor } from "@millrace/test-harness";
import { bits, readBucket, readWatermark } from "./bucketForTests.ts";
import { FLIGHTS_APP, knownAtMs, pieces, publishAccepted, randomFlights } from "./flightsForTests.ts";
import { LEASE_BUCKET } from "./partitionLeases.ts";

const PARTITIONS = 4;
const LEASE_MS = 800;

const set = compileFeatures(parseApp(FLIGHTS_APP));

interface Replica extends AsyncDisposable {
  readonly name: string;
  signal(signal: NodeJS.Signals): void;
  kill(): Promise<void>;
}

/** The feature service in a process of its own, as one of several. */
function startReplica(config: BusConfig, name: string): Replica {
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
      CHECKPOINT_INTERVAL_MS: "50",
      CATCH_UP_FLUSH_MS: "5",
      IDLE_FLUSH_MS: "50",
      FEATURE_PARTITIONS: String(PARTITIONS),
      FEATURE_REPLICA: name,
      FEATURE_LEASE_MS: String(LEASE_MS),
      LOG_LEVEL: "fatal",
    },
  });
  const exited = once(child, "exit");
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await exited;
  };
  return {
    name,
    signal: (signal) => void child.kill(signal),
    kill: () => end("SIGKILL"),
    [Symbol.asyncDispose]: () => end("SIGTERM"),
  };
}

/** Who has how many partitions, as the leases say. */
async function holders(bus: Bus): Promise<Record<string, number>> {
  const bucket = await bus.keyValue(LEASE_BUCKET);
  const counts: Record<string, number> = {};
  for (let partition = 0; partition < PARTITIONS; partition += 1) {
    const entry = await bucket.get(`flights.lease.${partition}`);
    if (entry?.operation === "PUT") counts[entry.string()] = (counts[entry.string()] ?? 0) + 1;
  }
  return counts;
}

const untilHeld = (bus: Bus, wanted: Record<string, number>): Promise<unknown> =>
  waitFor(
    async () => {
      return isDeepStrictEqual(await holders(bus), wanted);
    },
    { deadlineMs: 20_000, everyMs: 50, what: `partitions to be held as ${JSON.stringify(wanted)}` },
  );

test("replicas share the partitions, take over from one that is killed, and give back to one that comes; nothing is lost", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await applyApp(bus, FLIGHTS_APP);
  const log = randomFlights(3_000, 48, 9);
  const parts = pieces(log, 40);
  const phase = Math.ceil(parts.length / 5);
  let sequence = 0;
  let part = 0;
  const publishPhase = async (): Promise<void> => {
    for (let count = 0; count < phase && part < parts.length; count += 1, part += 1) {
      sequence = await publishAccepted(bus, parts[part] ?? []);
    }
  };
  const as = nats.as("feature");
  await using first = startReplica(as, "first");
  await untilHeld(bus, { first: 4 });
  await publishPhase();

  await using second = startReplica(as, "second");
  const publishing = publishPhase();
  await untilHeld(bus, { first: 2, second: 2 });
  await publishing;

  const more = publishPhase();
  await second.kill();
  await untilHeld(bus, { first: 4 });
  await more;

  // One that sleeps is as one that died; when it wakes up it writes nothing over what the other wrote.
  await using _third = startReplica(as, "third");
  await untilHeld(bus, { first: 2, third: 2 });
  first.signal("SIGSTOP");
  await publishPhase();
  await untilHeld(bus, { third: 4 });
  first.signal("SIGCONT");
  await publishPhase();
  await untilHeld(bus, { first: 2, third: 2 });

  await waitFor(
    async () => {
      for (let partition = 0; partition < PARTITIONS; partition += 1) {
        const watermark = await readWatermark(bus, partition);
        if (watermark === undefined || watermark.streamSequence < BigInt(sequence)) return false;
      }
      return true;
    },
    { deadlineMs: 20_000, what: "all partitions to come to the end" },
  );
  const engine = new FeatureEngine(set);
  for (const event of log) engine.apply(event);
  const end = knownAtMs(log.at(-1) ?? assert.fail());
  for (const { event } of log.slice(-400)) {
    const request = { occurredAtMs: end, fields: event?.fields ?? {} };
    assert.equal(bits(await readBucket(bus, set, request)), bits(engine.read(request)), event?.id);
  }
});
