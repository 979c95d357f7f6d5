import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Flights, landedEvent, landingMs, readFlights, scheduledEvent, Timeline } from "./mod.ts";

const DAY_MS = 86_400_000;
const DEPARTURE_MS = Date.UTC(2001, 0, 1, 8);

function flightsOf(rows: readonly { departureMs?: number; delay?: number; distance?: number }[]): Flights {
  const column = (of: (row: (typeof rows)[number]) => number): Float64Array => Float64Array.from(rows, of);
  return {
    count: rows.length,
    firstRow: 100,
    departureMs: column((row) => row.departureMs ?? DEPARTURE_MS),
    delayMinutes: column((row) => row.delay ?? 0),
    distanceMiles: column((row) => row.distance ?? 480),
    origin: rows.map(() => "SFO"),
    destination: rows.map(() => "LAX"),
  };
}

test("a flight lands half an hour, its distance at 480 mph and its delay after departure", () => {
  assert.equal(landingMs(flightsOf([{ distance: 480, delay: 20 }]), 0), DEPARTURE_MS + (30 + 60 + 20) * 60_000);
});

test("no flight lands before it departs, however early it is said to be", () => {
  assert.equal(landingMs(flightsOf([{ delay: -1_116 }]), 0), DEPARTURE_MS);
});

test("a departure does not tell the delay; the landing does", () => {
  const flights = flightsOf([{ delay: 42 }]);
  assert.deepEqual(Object.keys(scheduledEvent(flights, 0).fields), ["flight_id", "origin", "destination", "distance"]);
  const landed = landedEvent(flights, 0);
  assert.deepEqual(landed.fields["delay"]?.kind, { case: "doubleValue", value: 42 });
  assert.equal(landed.id, "F100-landed");
});

test("everything happens in order of event time, and each flight departs and lands once", async () => {
  const fromMs = Date.UTC(2001, 0, 10);
  const flights = await readFlights(fromMs, fromMs + DAY_MS);
  assert.ok(flights.count > 14_000 && flights.count < 20_000, `${flights.count} flights on one day`);
  const timeline = new Timeline(flights);
  const seen = { scheduled: new Set<number>(), landed: new Set<number>() };
  let previousMs = -Infinity;
  for (let happening = timeline.next(); happening !== undefined; happening = timeline.next()) {
    assert.ok(happening.atMs >= previousMs);
    previousMs = happening.atMs;
    seen[happening.kind].add(happening.flight);
    const event =
      happening.kind === "landed" ? landedEvent(flights, happening.flight) : scheduledEvent(flights, happening.flight);
    assert.equal(event.occurredAt === undefined ? 0 : timestampMs(event.occurredAt), happening.atMs);
  }
  assert.equal(seen.scheduled.size, flights.count);
  assert.equal(seen.landed.size, flights.count);
  assert.equal(timeline.nextMs, Infinity);
});
