import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { applyApp, parseApp } from "@millrace/app";
import { type Bus, predictionSubject } from "@millrace/bus";
import { FindingKind, FindingLevel } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { MadeBy, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { startNats } from "@millrace/test-harness";
import { Dataset } from "./dataset.ts";
import { asRead, FLIGHTS_APP, randomFlights, START_MS } from "./flightsForTests.ts";
import { compareWithServed, judgeLive, type ServedRows } from "./liveComparison.ts";
import { readServed } from "./servedFeatures.ts";

const HOUR_MS = 3_600_000;
const log = randomFlights(2_000, 72, 3);

function datasetOf(): { manifest: DatasetManifest; rows: number[][] } {
  const dataset = new Dataset({
    app: parseApp(FLIGHTS_APP),
    fromMs: undefined,
    toMs: undefined,
    knownBeforeMs: undefined,
  });
  for (const event of log) dataset.add(asRead(event));
  dataset.finish();
  const rows = dataset.takeRows().map(({ features }) => [...features]);
  return { manifest: dataset.manifest({ appVersion: 1, files: [], eventsRead: 0 }), rows };
}

const { manifest, rows } = datasetOf();
const DISTANCE = manifest.features.findIndex(({ name }) => name === "distance");

const served = (hours: number, change: (row: number[], index: number) => void = () => undefined): ServedRows => ({
  rows: rows.map((row, index) => {
    const copy = [...row];
    change(copy, index);
    return copy;
  }),
  fromMs: START_MS,
  toMs: START_MS + hours * HOUR_MS,
  nothingBecause: "",
});

const judged = (live: ServedRows) =>
  judgeLive(compareWithServed(manifest, live)).map(({ kind, level, column }) => [kind, level, column]);

test("what is served like what was trained on is nothing to tell", () => {
  assert.deepEqual(judged(served(48)), []);
});

test("a feature that is served otherwise than in training is told", () => {
  const doubled = (row: number[]): void => {
    row[DISTANCE] = (row[DISTANCE] as number) * 2;
  };
  assert.deepEqual(judged(served(48, doubled)), [[FindingKind.LIVE_DIFFERS, FindingLevel.WARNING, "distance"]]);
});

test("a feature that is missing more often in life is told", () => {
  const missing = (row: number[], index: number): void => {
    if (index % 4 === 0) row[DISTANCE] = Number.NaN;
  };
  assert.deepEqual(judged(served(48, missing)), [[FindingKind.LIVE_MISSING_DIFFERS, FindingLevel.WARNING, "distance"]]);
});

test("a few hours of predictions are compared, but make no warning", () => {
  const doubled = (row: number[]): void => {
    row[DISTANCE] = (row[DISTANCE] as number) * 2;
  };
  assert.deepEqual(judged(served(5, doubled)), [[FindingKind.LIVE_DIFFERS, FindingLevel.NOTE, "distance"]]);
});

test("too few predictions are not compared, and it says why", () => {
  const live = { ...served(48), rows: rows.slice(0, 99) };
  assert.match(compareWithServed(manifest, live).nothingBecause, /only 99 predictions .* 100 are needed/);
});

async function publish(
  bus: Bus,
  app: string,
  index: number,
  features: number[],
  appVersion = 1,
  madeBy: MadeBy = MadeBy.CHAMPION,
): Promise<void> {
  const occurredAt = timestampFromMs(START_MS + index * 60_000);
  const prediction = { id: `${app}${index}`, app, occurredAt, features, appVersion, madeBy };
  const message = create(PredictionsSchema, { predictions: [prediction] });
  await bus.publish(predictionSubject(app), PredictionsSchema, message, { id: `${app}/${index}` });
}

test("the features that an app's predictions were made from are read with the feature service's own rights", async () => {
  await using nats = await startNats();
  await using admin = await nats.connect();
  await using bus = await nats.connect("feature");
  const nothing = await readServed(bus, { ...manifest, app: "flights" });
  assert.equal(nothing.nothingBecause, "no prediction was served lately");
  const { version } = await applyApp(admin, FLIGHTS_APP);
  for (let index = 0; index < 20; index += 1) {
    await publish(admin, "flights", index, rows[index] as number[], version.version);
    await publish(admin, "others", index, rows[index] as number[]);
  }
  await publish(admin, "flights", 20, [1, 2, 3]);
  await publish(admin, "flights", 30, rows[3] as number[], version.version, MadeBy.SHADOW);
  const { rows: found, fromMs, toMs } = await readServed(bus, manifest);
  const byText = (left: number[], right: number[]): number => (left.join() < right.join() ? -1 : 1);
  assert.deepEqual(found.map((row) => [...row]).sort(byText), rows.slice(0, 20).sort(byText));
  assert.deepEqual([fromMs, toMs], [START_MS, START_MS + 19 * 60_000]);
  // A later version with other features makes what it serves incomparable.
  await applyApp(admin, FLIGHTS_APP.replace("  hour: {at_request", "  hours: {at_request"));
  await publish(admin, "flights", 21, rows[21] as number[], version.version + 1);
  assert.equal((await readServed(bus, manifest)).rows.length, 20);
});
