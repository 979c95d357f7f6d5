import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Bus } from "@millrace/bus";
import type { FeatureEngine, FeatureSet } from "@millrace/features";
import { type AcceptedEvent, ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { silentLogger, systemClock } from "@millrace/runtime";
import type { TestNats } from "@millrace/test-harness";
import { readBucket, readWatermark } from "./bucketForTests.ts";
import type { Config } from "./config.ts";
import { knownAtMs, randomFlights } from "./flightsForTests.ts";
import { LivePartition, type LivePartitionOptions } from "./livePartition.ts";

/** Of event time, less than the log is long: much is dropped on the way. */
const LOOK_BACK_MS = 3_600_000;

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
export function killAt(bus: Bus, operations: number): Promise<void> {
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

/** The live features of the flights, ended by `killAt` or by disposal. */
export function startLife(
  nats: TestNats,
  bus: Bus,
  set: FeatureSet,
  readLog: LivePartitionOptions["readLog"],
  changes: Partial<Config> = {},
): Promise<LivePartition> {
  return LivePartition.start({
    bus,
    app: "flights",
    share: { partition: 0, partitions: 1 },
    set,
    config: { ...configFor(nats), ...changes },
    clock: systemClock,
    logger: silentLogger,
    readLog,
    onFailure: () => undefined,
  });
}

/** Flights from many airports, so that what is not written once is not written by chance with the next event. */
export function manyAirports(count = 2_500): AcceptedEvent[] {
  const log = randomFlights(count, 48, 5);
  for (const { event } of log) {
    const index = Number(event?.id.replace(/^\D+/, ""));
    if (event !== undefined)
      event.fields["origin"] = create(ValueSchema, { kind: { case: "stringValue", value: `A${index % 300}` } });
  }
  return log;
}

/**
 * What a reader may rely on, at any moment: features at the watermark, and at any time before it from which on it says that they are
 * exact, are those of all events; but for features of series that it says are not whole. Answers how many reads that were.
 *
 * @param reference has applied the whole log and forgets nothing
 */
export async function assertReaderIsRight(
  bus: Bus,
  reference: FeatureEngine,
  log: readonly AcceptedEvent[],
  random: () => number,
  reads: number,
): Promise<number> {
  const watermark = await readWatermark(bus);
  if (watermark?.eventTime === undefined || watermark.exactFrom === undefined) return 0;
  const { set } = reference;
  const eventTimeMs = timestampMs(watermark.eventTime);
  const exactFromMs = timestampMs(watermark.exactFrom);
  // What a backfill has begun too late for: until the watermark has come so far, no read is called exact.
  if (exactFromMs > eventTimeMs) return 0;
  const missing = watermark.definitions === undefined ? [] : set.missing(watermark.definitions);
  const lacking = new Set(missing.flatMap(({ features }) => features));
  const readable = set.names.flatMap((name, index) => (lacking.has(name) ? [] : [index]));
  const known = log.filter((event) => knownAtMs(event) < eventTimeMs);
  if (known.length === 0) return 0;
  for (let read = 0; read < reads; read += 1) {
    const { event } = known[Math.floor((1 - random() ** 3) * known.length)] ?? known.at(-1) ?? assert.fail();
    const occurredAtMs = read % 2 === 0 ? eventTimeMs : exactFromMs + random() * (eventTimeMs - exactFromMs);
    const request = { occurredAtMs, fields: event?.fields ?? {} };
    const [found, expected] = [await readBucket(bus, set, request), reference.read(request)];
    for (const index of readable) {
      const name = `${set.names[index]} of ${event?.id} at ${occurredAtMs}`;
      assert.ok(Object.is(found[index], expected[index]), `${name}: ${found[index]}, not ${expected[index]}`);
    }
  }
  return reads;
}
