import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { applyApp, parseApp } from "@millrace/app";
import { type Bus, featureBucket } from "@millrace/bus";
import { compileFeatures, FeatureEngine, type FeatureSet } from "@millrace/features";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { ReadEventsResponseSchema } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { startNats, waitFor } from "@millrace/test-harness";
import type { ReadLog } from "./backfill.ts";
import { readWatermark, waitForSequence } from "./bucketForTests.ts";
import { FLIGHTS_APP, knownAtMs, pieces, publishAccepted } from "./flightsForTests.ts";
import { assertReaderIsRight, killAt, manyAirports, startLife } from "./lifeForTests.ts";
import { randomNumbers } from "./randomForTests.ts";

const WITHOUT = (...features: readonly string[]): string =>
  FLIGHTS_APP.split("\n")
    .filter((line) => !features.some((feature) => line.startsWith(`  ${feature}:`)))
    .join("\n");

const WHOLE = compileFeatures(parseApp(FLIGHTS_APP));
/** As the app's versions come: features are added, defined otherwise, dropped, and added again. */
const VERSIONS: readonly FeatureSet[] = [
  WITHOUT("delay_sd_6h", "route_late_1d", "route_last"),
  FLIGHTS_APP.replace("window: 1h, tile: 5m", "window: 30m, tile: 5m"),
  WITHOUT("delay_mean_6h"),
  FLIGHTS_APP,
].map((yaml) => compileFeatures(parseApp(yaml)));
const [OLDER = WHOLE] = VERSIONS;

/** A reference that has applied everything and forgets nothing. */
function referenceOf(set: FeatureSet, log: readonly AcceptedEvent[]): FeatureEngine {
  const engine = new FeatureEngine(set, { lookBackMs: 1e12 });
  for (const event of log) engine.apply(event);
  return engine;
}

/** The event log's service, as far as `committed` says; `onPage` before each page. */
function logOf(
  log: readonly AcceptedEvent[],
  committed: () => number,
  onPage: () => Promise<void> = () => Promise.resolve(),
): ReadLog {
  return async function* ({ knownFrom, types = [] }, signal) {
    const fromMs = knownFrom === undefined ? -Infinity : timestampMs(knownFrom as Parameters<typeof timestampMs>[0]);
    const now = log.slice(0, committed());
    const wanted = now.filter((event) => knownAtMs(event) >= fromMs && types.includes(event.event?.type ?? ""));
    for (const events of pieces(wanted, 100)) {
      await onPage();
      if (signal.aborted) return;
      yield toBinary(ReadEventsResponseSchema, create(ReadEventsResponseSchema, { events }));
    }
  };
}

const untilWhole = (bus: Bus, set: FeatureSet): Promise<unknown> =>
  waitFor(async () => (await readWatermark(bus))?.definitions === set.definitions, { what: "all series are whole" });

test("what a new version needs is made from the log while the rest goes on; readers are told once it can be read", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await applyApp(bus, FLIGHTS_APP);
  await bus.createKeyValue(featureBucket("flights"), { history: 1, replicas: 1 });
  const random = randomNumbers(3);
  const log = manyAirports();
  const half = log.length / 2;
  let published = 0;
  const publish = async (events: number): Promise<number> => {
    const from = published;
    published += events;
    return await publishAccepted(bus, log.slice(from, published));
  };
  const [older, newer] = [referenceOf(OLDER, log), referenceOf(WHOLE, log)];
  {
    await using firstBus = await nats.connect("feature");
    await using _ = await startLife(nats, firstBus, OLDER, () => assert.fail("nothing is missing"));
    for (let part = 0; part < 10; part += 1) await waitForSequence(bus, await publish(half / 10));
  }
  let pages = 0;
  let compared = 0;
  const missingMeanwhile = new Set<string>();
  // While the log is read, events come and become readable.
  const readLog = logOf(
    log,
    () => published,
    async () => {
      pages += 1;
      if (pages > 40) return;
      await waitForSequence(bus, await publish(50));
      const { definitions = "" } = (await readWatermark(bus)) ?? {};
      for (const { features } of WHOLE.missing(definitions)) for (const name of features) missingMeanwhile.add(name);
      compared += await assertReaderIsRight(bus, older, log, random, 5);
      compared += await assertReaderIsRight(bus, newer, log, random, 5);
    },
  );
  await using secondBus = await nats.connect("feature");
  await using live = await startLife(nats, secondBus, WHOLE, readLog);
  await untilWhole(bus, WHOLE);
  assert.deepEqual([...missingMeanwhile].sort(), ["delay_sd_6h", "route_last", "route_late_1d"]);
  assert.ok(pages > 5 && compared > 50, `${pages} pages, ${compared} compared`);
  await assertReaderIsRight(bus, newer, log, random, 1_000);
  while (published < log.length) await waitForSequence(bus, await publish(Math.min(100, log.length - published)));
  await assertReaderIsRight(bus, newer, log, random, 1_000);
  // Once made it is kept: the next process has nothing to make.
  await live[Symbol.asyncDispose]();
  await using thirdBus = await nats.connect("feature");
  await using _ = await startLife(nats, thirdBus, WHOLE, () => assert.fail("nothing is missing"));
  await assertReaderIsRight(bus, newer, log, random, 200);
});

test("without the event log the other features go on, and what is missing is made when it answers again", async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await applyApp(bus, FLIGHTS_APP);
  await bus.createKeyValue(featureBucket("flights"), { history: 1, replicas: 1 });
  const random = randomNumbers(4);
  const log = manyAirports(600);
  const [first, second, third] = pieces(log, Math.ceil(log.length / 3)) as [
    AcceptedEvent[],
    AcceptedEvent[],
    AcceptedEvent[],
  ];
  {
    await using firstBus = await nats.connect("feature");
    await using _ = await startLife(nats, firstBus, OLDER, () => assert.fail("nothing is missing"));
    await waitForSequence(bus, await publishAccepted(bus, first));
  }
  let answers = false;
  let refused = 0;
  const readable = logOf(log, () => log.length);
  const readLog: ReadLog = (request, signal) => {
    if (answers) return readable(request, signal);
    refused += 1;
    throw new Error("connection refused");
  };
  await using secondBus = await nats.connect("feature");
  await using _ = await startLife(nats, secondBus, WHOLE, readLog);
  await waitForSequence(bus, await publishAccepted(bus, second));
  await waitFor(() => refused >= 2, { what: "it tries again" });
  assert.equal((await readWatermark(bus))?.definitions, OLDER.definitions);
  const newer = referenceOf(WHOLE, log);
  await assertReaderIsRight(bus, newer, log, random, 100);
  answers = true;
  await waitForSequence(bus, await publishAccepted(bus, third));
  await untilWhole(bus, WHOLE);
  await assertReaderIsRight(bus, newer, log, random, 500);
});

const LIVES = 40;
const LOST_EVERY = 7;

test(`killed at ${LIVES} random moments, by changing versions of an app, with checkpoints and messages lost, a reader is never wrong`, async () => {
  await using nats = await startNats();
  await using bus = await nats.connect();
  await applyApp(bus, FLIGHTS_APP);
  await bus.createKeyValue(featureBucket("flights"), { history: 1, replicas: 1 });
  const random = randomNumbers(17);
  const log = manyAirports();
  const references = VERSIONS.map((set) => referenceOf(set, log));
  const parts = pieces(log, Math.ceil(log.length / LIVES / 2));
  const checkpoints = await bus.objects("checkpoints");
  let committed = 0;
  let published = 0;
  let sequence = 0;
  let died = 0;
  let compared = 0;
  let lost = 0;
  const wholeIn = new Set<FeatureSet>();
  /** As ingestion does: in the log first; now and then the next transaction is there, too. */
  const publishNext = async (alsoCommitted = random() < 0.3): Promise<void> => {
    const part = parts.shift();
    if (part === undefined) return;
    published += part.length;
    committed = Math.max(committed, published + (alsoCommitted ? (parts[0]?.length ?? 0) : 0));
    sequence = await publishAccepted(bus, part);
  };
  const isUpToDate = async (set: FeatureSet): Promise<boolean> => {
    const watermark = await readWatermark(bus);
    return watermark?.definitions === set.definitions && watermark.streamSequence >= BigInt(sequence);
  };
  /** Lives until it is killed or, if it is not, until it has done all that there was to do. */
  const live = async (set: FeatureSet, operations: number): Promise<"killed" | "complete"> => {
    await using mortalBus = await nats.connect("feature");
    let isKilled = false;
    const dead = killAt(mortalBus, operations).then(() => {
      isKilled = true;
    });
    const readLog = logOf(log, () => committed);
    let partition: AsyncDisposable | undefined;
    try {
      partition = await startLife(nats, mortalBus, set, readLog);
    } catch (error) {
      if (operations === Infinity) throw error;
      await dead;
      return "killed";
    }
    try {
      await publishNext();
      // What is in the log is published sooner or later.
      if (published < committed) await publishNext(false);
      await waitFor(async () => isKilled || (await isUpToDate(set)), { what: `${operations} operations are enough` });
      return isKilled ? "killed" : "complete";
    } finally {
      void mortalBus.connection.close();
      await partition[Symbol.asyncDispose]();
    }
  };
  for (let life = 0; life < LIVES; life += 1) {
    // Those that live long enough to complete their version take turns.
    const isMortal = life % 5 !== 0;
    const version = isMortal ? Math.floor(random() * VERSIONS.length) : (life / 5) % VERSIONS.length;
    const set = VERSIONS[version] as FeatureSet;
    await publishNext();
    if (life % LOST_EVERY === LOST_EVERY - 1) {
      lost += 1;
      if (random() < 0.7) await checkpoints.delete("flights.0").catch(() => undefined);
      await bus.manager.streams.purge("ACCEPTED", { seq: sequence });
    }
    const end = await live(set, isMortal ? 1 + Math.floor(random() ** 3 * 3_000) : Infinity);
    if (end === "killed") died += 1;
    else wholeIn.add(set);
    for (const reference of references) compared += await assertReaderIsRight(bus, reference, log, random, 3);
  }
  assert.ok(died > LIVES / 4, `${died} of ${LIVES} were killed while they worked`);
  assert.ok(
    compared > 4 * LIVES && lost === Math.floor(LIVES / LOST_EVERY),
    `${compared} compared, ${lost} times something was lost`,
  );
  assert.equal(wholeIn.size, VERSIONS.length, "every version was completed at least once");
  while (parts.length > 0) await publishNext();
  await using lastBus = await nats.connect("feature");
  await using _ = await startLife(
    nats,
    lastBus,
    WHOLE,
    logOf(log, () => committed),
  );
  await waitForSequence(bus, sequence);
  await untilWhole(bus, WHOLE);
  await assertReaderIsRight(bus, references[3] as FeatureEngine, log, random, 2_000);
});
