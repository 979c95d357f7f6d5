import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { applyApp, parseApp } from "@millrace/app";
import { acceptedSubject, type Bus } from "@millrace/bus";
import { compileFeatures, type FeatureRequest, fieldText, type ReadEvent } from "@millrace/features";
import { APP, DATA_FROM_MS, landedEvent, landingMs, readFlights, scheduledEvent } from "@millrace/flight-delays";
import {
  type AcceptedEvent,
  AcceptedEventSchema,
  AcceptedEventsSchema,
  type Event,
} from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { silentLogger, systemClock } from "@millrace/runtime";
import { startNats } from "@millrace/test-harness";
import { Dataset } from "../../services/feature/dataset.ts";
import { LiveApps } from "../../services/feature/liveApps.ts";
import { FeatureCache } from "../../services/inference-gateway/featureCache.ts";

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
const TO_MS = DATA_FROM_MS + 7 * DAY_MS;
/** The finest tile of the app: what is known within one is not seen by its own reads. */
const TILE_MS = 5 * MINUTE_MS;
const ACCEPTED_PARTITIONS = 3;

/** With the tile of the prediction, less than the look-back of an hour. */
const MAX_TILES_AHEAD = 11;

/** One flight in fifty tells late, by up to two hours, that it has landed. */
const arrivalMs = (flight: number, atMs: number): number =>
  flight % 50 === 0 ? atMs + ((flight * 7_919) % 120) * MINUTE_MS : atMs;

/** The events of a week of real flights as the event log has them: numbered in the order in which they became known. */
async function weekOfEvents(): Promise<AcceptedEvent[]> {
  const flights = await readFlights(DATA_FROM_MS, TO_MS);
  const events: { readonly event: Event; readonly arrivalMs: number }[] = [];
  for (let index = 0; index < flights.count; index += 1) {
    const departureMs = flights.departureMs[index] as number;
    events.push({ event: scheduledEvent(flights, index), arrivalMs: departureMs });
    const landed = arrivalMs(index, landingMs(flights, index));
    if (landed < TO_MS) events.push({ event: landedEvent(flights, index), arrivalMs: landed });
  }
  events.sort((left, right) => left.arrivalMs - right.arrivalMs);
  return events.map(({ event, arrivalMs: knownAtMs }, index) =>
    create(AcceptedEventSchema, { event, knownAt: timestampFromMs(knownAtMs), logSequence: BigInt(index + 1) }),
  );
}

const knownAtMs = ({ knownAt }: AcceptedEvent): number => (knownAt === undefined ? 0 : timestampMs(knownAt));

const asRead = ({ event, knownAt, logSequence }: AcceptedEvent): ReadEvent => ({
  type: event?.type ?? "",
  fields: event?.fields ?? {},
  occurredAtMs: event?.occurredAt === undefined ? 0 : timestampMs(event.occurredAt),
  knownAtMs: knownAt === undefined ? 0 : timestampMs(knownAt),
  logSequence: Number(logSequence),
});

/** Publishes what became known within a tile, divided as ingestion does; the last batch says that nothing of it is missing. */
async function publishTile(bus: Bus, events: readonly AcceptedEvent[], endMs: number): Promise<void> {
  const groups = Map.groupBy(events, ({ event, logSequence }) =>
    acceptedSubject(APP, event?.type ?? "", Number(logSequence) % ACCEPTED_PARTITIONS),
  );
  const publish = async (subject: string, batch: MessageInitShape<typeof AcceptedEventsSchema>): Promise<void> => {
    const batchId = `${subject}/${endMs}`;
    await bus.publish(subject, AcceptedEventsSchema, create(AcceptedEventsSchema, { ...batch, batchId }), {
      id: batchId,
    });
  };
  await Promise.all([...groups].map(([subject, group]) => publish(subject, { events: group })));
  await publish(acceptedSubject(APP, "none", 0), { completeBefore: timestampFromMs(endMs) });
}

test("a week of real flights gives the same features live, in four partitions, as in history: every one of them, bit for bit", async () => {
  const appFile = await readFile(join(import.meta.dirname, "../../deploy/apps/flight-delays/app.yaml"), "utf8");
  const app = parseApp(appFile);
  const set = compileFeatures(app);
  const log = await weekOfEvents();
  await using nats = await startNats();
  await using bus = await nats.connect();
  await applyApp(bus, appFile);
  await using featureBus = await nats.connect("feature");
  await using _ = await LiveApps.start({
    bus: featureBus,
    config: {
      bus: nats.as("feature"),
      grpcAddress: "127.0.0.1:0",
      eventLogAddress: "127.0.0.1:0",
      replicas: 1,
      checkpointIntervalMs: 10_000,
      catchUpFlushMs: 500,
      idleFlushMs: 1_000,
      lookBackMs: 3_600_000,
      partitions: 4,
      replica: "test",
      leaseMs: 60_000,
    },
    clock: systemClock,
    logger: silentLogger,
    readLog: () => assert.fail("nothing is missing"),
    onFailure: (error) => assert.fail(String(error)),
  });
  await using gatewayBus = await nats.connect("inference-gateway");
  await using cache = new FeatureCache({
    bus: gatewayBus,
    app: APP,
    maxBytes: 1 << 28,
    graceMs: 1_000,
    clock: systemClock,
    logger: silentLogger,
  });

  const history = new Dataset({ app, fromMs: undefined, toMs: undefined, knownBeforeMs: undefined });
  const served = new Map<string, Float64Array>();
  let next = 0;
  let tileMs = DATA_FROM_MS;
  for (let step = 0; tileMs < TO_MS; step += 1) {
    const firstTileMs = tileMs;
    const requests: FeatureRequest[] = [];
    // Events run ahead of the predictions, by as much as the look-back allows: that must not matter.
    for (let ahead = 0; ahead <= step % MAX_TILES_AHEAD && tileMs < TO_MS; ahead += 1, tileMs += TILE_MS) {
      const begin = next;
      while (next < log.length && knownAtMs(log[next] as AcceptedEvent) < tileMs + TILE_MS) next += 1;
      const events = log.slice(begin, next);
      await publishTile(bus, events, tileMs + TILE_MS);
      for (const event of events.map(asRead)) {
        history.add(event);
        if (event.type === "flight.scheduled") requests.push(event);
      }
    }
    using waiting = cache.untilKnown(tileMs);
    await waiting?.come;
    for (const request of requests) {
      const knownBeforeMs = set.knownBeforeMs(request.occurredAtMs);
      assert.ok(cache.isExact(cache.asOf, knownBeforeMs, request.occurredAtMs), `step ${step} from ${firstTileMs}`);
      served.set(fieldText(request.fields["flight_id"]) ?? "", set.vector(request, cache.lookup));
    }
  }
  history.finish();
  const rows = history.takeRows();
  assert.equal(rows.length, served.size);
  assert.ok(rows.length > 110_000, `${rows.length} flights`);
  let present = 0;
  for (const { key, features } of rows) {
    const live = served.get(key);
    const same = live !== undefined && features.every((value, index) => Object.is(value, live[index]));
    assert.ok(same, `${key}: live ${live?.join(", ")}; history ${features.join(", ")}`);
    for (const value of features) if (!Number.isNaN(value)) present += 1;
  }
  assert.ok(present > 0.9 * rows.length * set.names.length, `${present} values in ${rows.length} rows`);
});
