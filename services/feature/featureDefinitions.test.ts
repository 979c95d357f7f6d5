import assert from "node:assert/strict";
import { test } from "node:test";
import { parseApp } from "@millrace/app";
import { FeatureKind } from "@millrace/proto/millrace/feature/v1/dataset_statistics_pb.ts";
import { definitionsOf, labelDefinitionOf } from "./featureDefinitions.ts";
import { FLIGHTS_APP } from "./flightsForTests.ts";

const hashes = (yaml: string): Record<string, string> =>
  Object.fromEntries(definitionsOf(parseApp(yaml)).map(({ name, hash }) => [name, hash]));

/** Names of the features whose hash is another one after a change of the app file. */
function changedBy(from: string, to: string): string[] {
  assert.ok(FLIGHTS_APP.includes(from), from);
  const before = hashes(FLIGHTS_APP);
  const after = hashes(FLIGHTS_APP.replaceAll(from, to));
  return Object.keys(after).filter((name) => before[name] !== after[name]);
}

test("a feature is told in words, in the order of the columns", () => {
  const definitions = definitionsOf(parseApp(FLIGHTS_APP));
  assert.deepEqual(
    definitions
      .map(({ name, kind, text }) => [name, kind, text])
      .filter(([name]) => ["hour", "delay_mean_6h"].includes(String(name))),
    [
      ["delay_mean_6h", FeatureKind.WINDOW, "MEAN(event.delay) of flight.landed by origin, over 6h in tiles of 5m"],
      ["hour", FeatureKind.REQUEST, "request.occurred_at.getHours()"],
    ],
  );
  assert.deepEqual(
    definitions.map(({ name }) => name),
    definitions.map(({ name }) => name).sort(),
  );
});

test("a feature's hash changes with what decides its values, and only its own", () => {
  assert.deepEqual(changedBy("value: event.delay, window: 6h, tile: 5m", "value: event.delay, window: 12h, tile: 5m"), [
    "delay_mean_6h",
  ]);
  assert.deepEqual(changedBy("aggregate: LAST", "aggregate: MAX"), ["route_last"]);
  assert.deepEqual(changedBy("request.occurred_at.getHours()", "request.occurred_at.getDayOfWeek()"), ["hour"]);
  assert.deepEqual(changedBy("route: [origin, destination]", "route: [destination, origin]"), [
    "route_last",
    "route_late_1d",
  ]);
  assert.deepEqual(
    changedBy("aggregate: COUNT, window: 1h", "aggregate: COUNT, where: event.distance > 500.0, window: 1h"),
    ["departures_1h"],
  );
});

test("a description, or a default that is written out, changes no hash", () => {
  assert.deepEqual(
    changedBy("{at_request: request.distance}", "{description: How far, at_request: request.distance}"),
    [],
  );
  assert.deepEqual(changedBy("aggregate: COUNT, window: 1h, tile: 5m", "aggregate: COUNT, window: 1h, tile: 50s"), [
    "departures_1h",
  ]);
  const explicit = FLIGHTS_APP.replace(
    "aggregate: COUNT, window: 1h, tile: 5m",
    "aggregate: COUNT, window: 1h, tile: 50s",
  );
  assert.deepEqual(hashes(explicit), hashes(explicit.replace(", tile: 50s", "")));
});

test("the label has a definition of its own", () => {
  const label = labelDefinitionOf(parseApp(FLIGHTS_APP));
  assert.equal(label?.text, "event.delay >= 15.0 of flight.landed, joined by flight_id");
  assert.notEqual(labelDefinitionOf(parseApp(FLIGHTS_APP.replace("wait: 12h", "wait: 13h")))?.hash, label?.hash);
});
