import assert from "node:assert/strict";
import { test } from "node:test";
import { clone } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { durationToMs, parseApp } from "@millrace/app";
import { Aggregate } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type AcceptedEvent, AcceptedEventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { Dataset } from "./dataset.ts";
import { asLog, asRead, FLIGHTS_APP, knownAtMs, occurredAtMs, randomFlights } from "./flightsForTests.ts";
import type { DatasetRow } from "./labelJoin.ts";
import { randomNumbers } from "./randomForTests.ts";

const HOUR_MS = 3_600_000;
const LOGS = 8;
const EVENTS_OF_A_LOG = 12;

const FEATURES = `
  departures: {entity: origin, on: flight.scheduled, aggregate: COUNT, window: 3h, tile: 1m}
  landings: {entity: origin, on: flight.landed, aggregate: COUNT, where: event.delay < 60.0, window: 12h, tile: 5m}
  delay_sum: {entity: origin, on: flight.landed, aggregate: SUM, value: event.delay, window: 6h, tile: 5m}
  delay_mean: {entity: origin, on: flight.landed, aggregate: MEAN, value: event.delay, window: 12h, tile: 5m}
  delay_min: {entity: origin, on: flight.landed, aggregate: MIN, value: event.delay, window: 6h, tile: 15m}
  delay_max: {entity: origin, on: flight.landed, aggregate: MAX, value: event.delay, window: 6h, tile: 15m}
  delay_last: {entity: route, on: flight.landed, aggregate: LAST, value: event.delay, window: 12h, tile: 5m}
  delay_deviation: {entity: origin, on: flight.landed, aggregate: STDDEV, value: event.delay, window: 6h, tile: 1h}
  flights: {entity: origin, on: flight.landed, aggregate: DISTINCT, value: event.flight_id, window: 12h, tile: 30m}
`;

const app = parseApp(FLIGHTS_APP.replace(/features:[^]*label:/, `features:${FEATURES}label:`));
const NAMES = Object.keys(app.features).sort();
const TILES_MS = NAMES.map((name) => durationToMs(app.features[name]?.tile) ?? assert.fail());

/** Rows by their key. */
function rowsOf(log: readonly AcceptedEvent[]): Map<string, DatasetRow> {
  const dataset = new Dataset({ app, fromMs: undefined, toMs: undefined, knownBeforeMs: undefined });
  for (const event of log) dataset.add(asRead(event));
  dataset.finish();
  return new Map(dataset.takeRows().map((row) => [row.key, row]));
}

/** The log in which this event becomes known at another time. */
function shifted(log: readonly AcceptedEvent[], event: AcceptedEvent, arrivalMs: number): AcceptedEvent[] {
  const late = clone(AcceptedEventSchema, event);
  late.knownAt = timestampFromMs(arrivalMs);
  return asLog(log.map((other) => (other === event ? late : other)));
}

/**
 * Holds the rows with a late event against those without it: a row of a tile that had begun when the event arrived must not show it, to the last
 * bit, whatever it looks like later. Answers the features that show it at all.
 */
function assertUnseenBefore(
  arrivalMs: number,
  without: Map<string, DatasetRow>,
  withEvent: Map<string, DatasetRow>,
): string[] {
  const changed = new Set<string>();
  for (const [key, { occurredAtMs: rowMs, features }] of without) {
    const seen = withEvent.get(key)?.features ?? assert.fail(key);
    NAMES.forEach((name, index) => {
      if (Object.is(features[index], seen[index])) return;
      const tileMs = TILES_MS[index] as number;
      const late = Math.floor(rowMs / tileMs) > Math.floor(arrivalMs / tileMs);
      assert.ok(
        late,
        `${name} of ${key} at ${rowMs} shows an event that arrived at ${arrivalMs}: ${seen[index]}, not ${features[index]}`,
      );
      changed.add(name);
    });
  }
  return [...changed];
}

test("whatever event arrives however late, rows before its arrival are those of a log without it; rows after it see it", () => {
  const changed = new Map<string, number>();
  let compared = 0;
  for (let seed = 1; seed <= LOGS; seed += 1) {
    const log = randomFlights(250, 24, seed);
    const random = randomNumbers(seed);
    for (let trial = 0; trial < EVENTS_OF_A_LOG; trial += 1) {
      const event = log[Math.floor(random() * log.length)] as AcceptedEvent;
      const own = event.event?.fields["flight_id"]?.kind.value as string;
      const without = rowsOf(log.filter((other) => other !== event));
      // A departure's own row is not there without it.
      without.delete(own);
      // The arrival passes some rows, and often falls on the very millisecond of one.
      const earliestMs = Math.max(knownAtMs(event), occurredAtMs(event));
      const passed = [...without.values()].map((row) => row.occurredAtMs).filter((rowMs) => rowMs >= earliestMs);
      const near = passed.filter((rowMs) => rowMs < earliestMs + 8 * HOUR_MS);
      const arrivalMs = near[Math.floor(random() * near.length)] ?? earliestMs;
      for (const name of assertUnseenBefore(arrivalMs, without, rowsOf(shifted(log, event, arrivalMs)))) {
        changed.set(name, (changed.get(name) ?? 0) + 1);
      }
      compared += without.size;
    }
  }
  assert.ok(compared > LOGS * EVENTS_OF_A_LOG * 200);
  assert.deepEqual([...changed.keys()].sort(), NAMES, "every feature shows some of the events once they have arrived");
});

test("the features above are of every aggregate that there is", () => {
  const aggregates = new Set(Object.values(app.features).map(({ aggregate }) => aggregate));
  const all = Object.values(Aggregate).filter((value) => value !== Aggregate.UNSPECIFIED);
  assert.deepEqual(aggregates, new Set(all));
});
