import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { parseApp } from "@millrace/app";
import { type Bus, connectBus, eventSubject } from "@millrace/bus";
import { compileFeatures, fieldText } from "@millrace/features";
import { APP, DATA_FROM_MS, landedEvent, readFlights, scheduledEvent, Timeline } from "@millrace/flight-delays";
import { ROOT } from "@millrace/local";
import { readDataset } from "@millrace/local/demo/servedFeatures.ts";
import { type Event, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { silentLogger, systemClock } from "@millrace/runtime";
import { startTestPlatform, TemporaryFolder, waitFor } from "@millrace/test-harness";
import { FeatureCache } from "../../services/inference-gateway/featureCache.ts";
import { millrace } from "./millraceCommand.ts";

const HOUR_MS = 3_600_000;
const TO_MS = DATA_FROM_MS + 36 * HOUR_MS;
/** When the new version of the app comes. */
const APPLIED_MS = DATA_FROM_MS + 31 * HOUR_MS;
const FILE = join(ROOT, "deploy/apps/flight-delays/app.yaml");
const NEW_FEATURES = `features:
  origin_delay_spread_12h: { entity: origin, on: flight.landed, value: event.delay, aggregate: STDDEV, window: 12h, tile: 15m }
  origin_destinations_6h: { entity: origin, on: flight.scheduled, value: event.destination, aggregate: DISTINCT, window: 6h, tile: 15m }
`;

/** Everything that happens in the first hours of the year, in order. */
async function firstEvents(): Promise<Event[]> {
  const flights = await readFlights(DATA_FROM_MS, TO_MS);
  const timeline = new Timeline(flights);
  const events: Event[] = [];
  for (let happening = timeline.next(); happening !== undefined; happening = timeline.next()) {
    if (happening.atMs >= TO_MS) break;
    events.push((happening.kind === "landed" ? landedEvent : scheduledEvent)(flights, happening.flight));
  }
  return events;
}

async function publishAll(bus: Bus, events: readonly Event[]): Promise<void> {
  for (let begin = 0; begin < events.length; begin += 500) {
    const sent = events
      .slice(begin, begin + 500)
      .map((event) => bus.publish(eventSubject(APP, event.type), EventSchema, event, { id: event.id }));
    await Promise.all(sent);
  }
}

const occurredAtMs = ({ occurredAt }: Event): number => (occurredAt === undefined ? 0 : timestampMs(occurredAt));

test("features that a new version of an app brings are made from history under traffic, in every partition; the others go on meanwhile", async () => {
  const before = await readFile(FILE, "utf8");
  const after = before.replace("features:\n", NEW_FEATURES);
  const [older, newer] = [before, after].map((text) => compileFeatures(parseApp(text)));
  assert.ok(older !== undefined && newer !== undefined);
  const added = newer.names.filter((name) => !older.names.includes(name));
  assert.equal(added.length, 2);
  const events = await firstEvents();

  await using folder = new TemporaryFolder();
  await using system = await startTestPlatform({
    services: ["ingestion", "feature"],
    environment: { FEATURE_PARTITIONS: "3", CATCH_UP_FLUSH_MS: "20", IDLE_FLUSH_MS: "200" },
  });
  const { platform } = system;
  await using bus = await connectBus(platform.nats("admin"), "new feature test", silentLogger);
  const apply = async (file: string): Promise<void> => {
    const { status, stderr } = await millrace(platform, "apply", file);
    assert.equal(status, 0, stderr);
  };
  await apply(FILE);
  await using cache = new FeatureCache({
    bus,
    app: APP,
    maxBytes: 1 << 28,
    graceMs: 10_000,
    clock: systemClock,
    logger: silentLogger,
  });
  const asOfMs = (): number => (cache.asOf === undefined ? 0 : timestampMs(cache.asOf));
  const lacking = (): string[] => cache.lacking(newer).map((place) => newer.names[place] ?? "");
  const earlier = events.filter((event) => occurredAtMs(event) < APPLIED_MS);
  await publishAll(bus, earlier);
  await waitFor(() => asOfMs() >= APPLIED_MS - HOUR_MS / 2, { deadlineMs: 60_000, what: "the features so far" });
  assert.deepEqual(lacking().sort(), added, "nobody may read what is not there yet");

  await writeFile(folder.join("app.yaml"), after);
  await apply(folder.join("app.yaml"));
  let published = earlier.length;
  const served = new Map<string, Float64Array>();
  while (published < events.length) {
    // Of the second half the new features have to be there, too.
    if (published > (earlier.length + events.length) / 2) {
      await waitFor(() => lacking().length === 0, { deadlineMs: 60_000, what: "the new features to be whole" });
    }
    const piece = events.slice(published, published + 500);
    published += piece.length;
    await publishAll(bus, piece);
    const lastMs = occurredAtMs(piece.at(-1) as Event);
    await waitFor(() => asOfMs() >= lastMs - HOUR_MS / 12, { deadlineMs: 30_000, what: "the features to go on" });
    for (const { type, fields, ...event } of piece.map((each) => ({ ...each, atMs: occurredAtMs(each) }))) {
      const request = { occurredAtMs: event.atMs, fields };
      if (type !== "flight.scheduled") continue;
      if (!cache.isExact(cache.asOf, newer.knownBeforeMs(event.atMs), event.atMs)) continue;
      const vector = newer.vector(request, cache.lookup);
      for (const place of cache.lacking(newer)) vector[place] = Number.NaN;
      served.set(fieldText(fields["flight_id"]) ?? "", vector);
    }
  }
  const history = await readDataset(bus, platform.grpc("feature"), { app: APP, fromMs: APPLIED_MS, toMs: TO_MS });
  let whole = 0;
  for (const [flight, vector] of served) {
    const expected = history.get(flight) ?? assert.fail(`${flight} has no row`);
    const isWhole = added.every((name) => !Number.isNaN(vector[newer.names.indexOf(name)]));
    if (isWhole) whole += 1;
    for (const [place, name] of newer.names.entries()) {
      if (!isWhole && added.includes(name)) continue;
      assert.ok(
        Object.is(vector[place], expected[place]),
        `${name} of ${flight}: ${vector[place]}, not ${expected[place]}`,
      );
    }
  }
  assert.ok(served.size > 3_000 && whole > 1_000, `${served.size} compared, ${whole} with the new features`);
});
