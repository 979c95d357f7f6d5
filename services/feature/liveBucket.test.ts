import assert from "node:assert/strict";
import { test } from "node:test";
import { applyApp, parseApp } from "@millrace/app";
import { type Bus, featureBucket } from "@millrace/bus";
import { compileFeatures } from "@millrace/features";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { startNats, type TestNats, waitFor } from "@millrace/test-harness";
import { waitForSequence } from "./bucketForTests.ts";
import { asLog, FLIGHTS_APP, flightEvent, publishAccepted, START_MS } from "./flightsForTests.ts";
import { killAt, startLife } from "./lifeForTests.ts";

const set = compileFeatures(parseApp(FLIGHTS_APP));
const nothingMissing = () => assert.fail("nothing is missing");
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

async function startBus(nats: TestNats): Promise<Bus> {
  const bus = await nats.connect();
  await applyApp(bus, FLIGHTS_APP);
  await bus.createKeyValue(featureBucket("flights"), { history: 1, replicas: 1 });
  return bus;
}

let flights = 0;
/** A flight lands, and everybody knows it at once. */
function landing(origin: string, atMs: number): AcceptedEvent {
  flights += 1;
  const [event = assert.fail()] = asLog([
    flightEvent("flight.landed", atMs, atMs, {
      flight_id: `F${flights}`,
      origin,
      destination: "JFK",
      delay: flights % 60,
    }),
  ]);
  event.logSequence = BigInt(flights);
  return event;
}

const KILL_POINTS = 60;

test(`an entity whose values have left all windows is deleted from the bucket, also when that is cut off at any of ${KILL_POINTS} places`, async () => {
  await using nats = await startNats();
  await using bus = await startBus(nats);
  const bucket = await bus.keyValue(featureBucket("flights"));
  const isThere = async (key: string): Promise<boolean> => (await bucket.get(key))?.operation === "PUT";
  let atMs = START_MS;
  let died = 0;
  for (let operations = 1; operations <= KILL_POINTS; operations += 1) {
    const airport = `A${operations}`;
    const keys = [`origin.${airport}`, `route.${airport}.JFK`];
    {
      await using firstBus = await nats.connect("feature");
      await using _ = await startLife(nats, firstBus, set, nothingMissing);
      await waitForSequence(bus, await publishAccepted(bus, [landing(airport, atMs)]));
      // Its tile is over with the next event.
      await waitForSequence(bus, await publishAccepted(bus, [landing("ORD", atMs + DAY_MS / 8)]));
      for (const key of keys) assert.ok(await isThere(key), `${key} before its time is over`);
    }
    atMs += 2 * DAY_MS;
    const sequence = await publishAccepted(bus, [landing("ORD", atMs)]);
    {
      await using mortalBus = await nats.connect("feature");
      let isKilled = false;
      void killAt(mortalBus, operations).then(() => {
        isKilled = true;
      });
      try {
        const life = await startLife(nats, mortalBus, set, nothingMissing);
        await waitFor(async () => isKilled || !(await isThere(keys[0] as string)));
        void mortalBus.connection.close();
        await life[Symbol.asyncDispose]();
      } catch {
        // It did not live to see its start.
      }
      if (isKilled) died += 1;
    }
    await using lastBus = await nats.connect("feature");
    await using _ = await startLife(nats, lastBus, set, nothingMissing);
    await waitForSequence(bus, sequence);
    // A checkpoint may be there already that has it still; it goes with the next one.
    await publishAccepted(bus, [landing("ORD", atMs + MINUTE_MS)]);
    for (const key of keys) await waitFor(async () => !(await isThere(key)), { what: `${key} to be deleted` });
    assert.ok(await isThere("origin.ORD"));
  }
  assert.ok(died > 20, `${died} of ${KILL_POINTS} were killed`);
});

test("an entity with a thousand events is written once for each flush, not for each event", async () => {
  await using nats = await startNats();
  await using bus = await startBus(nats);
  const events = Array.from({ length: 1_000 }, (_, index) => landing("ORD", START_MS + index * 100));
  for (let begin = 0; begin < events.length; begin += 10) await publishAccepted(bus, events.slice(begin, begin + 10));
  const sequence = await publishAccepted(bus, [landing("LAX", START_MS + 5 * MINUTE_MS)]);
  const writes = async (): Promise<number> =>
    (await bus.manager.streams.info(`KV_${featureBucket("flights")}`)).state.last_seq;
  const before = await writes();
  await using serviceBus = await nats.connect("feature");
  await using _ = await startLife(nats, serviceBus, set, nothingMissing, {
    catchUpFlushMs: 60_000,
    idleFlushMs: 60_000,
  });
  await waitForSequence(bus, sequence);
  const written = (await writes()) - before;
  // What a reader can see by then, and the watermark, once or a few times over.
  assert.ok(written >= 2 && written <= 20, `${written} writes for ${events.length} events`);
});
