import assert from "node:assert/strict";
import { test } from "node:test";
import { clone, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { applyApp, parseApp } from "@millrace/app";
import { AppSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { DatasetManifestSchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { parquetReadObjects } from "hyparquet";
import { Dataset } from "./dataset.ts";
import { TestDatasetService, type Times } from "./datasetServiceForTests.ts";
import { asLog, asRead, FLIGHTS_APP, flightEvent, knownAtMs, randomFlights, START_MS } from "./flightsForTests.ts";
import type { DatasetRow } from "./labelJoin.ts";
import { ParquetPart } from "./parquetPart.ts";

const app = parseApp(FLIGHTS_APP);
const HOUR_MS = 3_600_000;
const at = (hours: number): number => START_MS + hours * HOUR_MS;

function rowsOf(log: readonly AcceptedEvent[], times: Times = {}, ofApp = app): DatasetRow[] {
  const { fromMs, toMs, knownBeforeMs } = times;
  const dataset = new Dataset({ app: ofApp, fromMs, toMs, knownBeforeMs });
  for (const event of log) dataset.add(asRead(event));
  dataset.finish();
  return dataset.takeRows();
}

const flight = (id: string, origin = "ATL"): Record<string, string> => ({ flight_id: id, origin, destination: "ORD" });
const scheduled = (id: string, hours: number): AcceptedEvent =>
  flightEvent("flight.scheduled", at(hours), at(hours), { ...flight(id), distance: 7 });
const landed = (id: string, hours: number, delay: number, knownHours = hours): AcceptedEvent =>
  flightEvent("flight.landed", at(hours), at(knownHours), { ...flight(id), delay });

const meanIndex = ["delay_mean_6h", "delay_sd_6h", "departures_1h", "distance"].indexOf("delay_mean_6h");

test("a row sees what was known before it, and not what happened before it but became known later", () => {
  const mean = (knownHours: number): number =>
    rowsOf(asLog([landed("a", 1, 40, knownHours), scheduled("b", 3.05)]))[0]?.features[meanIndex] as number;
  assert.equal(mean(1), 40);
  assert.equal(mean(2.99), 40);
  assert.ok(Number.isNaN(mean(3.01)), "known in the row's own tile");
  assert.ok(Number.isNaN(mean(3.5)), "known after the row");
});

test("a label counts when it was known in time, and before the dataset's horizon", () => {
  const log = asLog([
    scheduled("a", 1),
    landed("a", 4, 20),
    scheduled("b", 1.5),
    landed("b", 5, 3, 15),
    scheduled("c", 2),
  ]);
  const labels = (times: Times): Record<string, number> =>
    Object.fromEntries(rowsOf(log, times).map(({ key, label }) => [key, label]));
  assert.deepEqual(labels({}), { a: 1, b: Number.NaN, c: Number.NaN });
  assert.deepEqual(labels({ toMs: at(3), knownBeforeMs: at(4) }), { a: Number.NaN, b: Number.NaN, c: Number.NaN });
  assert.deepEqual(labels({ fromMs: at(1.2), toMs: at(2) }), { b: Number.NaN });
});

test("of two labels the one known last counts; a label may come before its row's own event", () => {
  const lateRow = flightEvent("flight.scheduled", at(1), at(6), flight("b"));
  const log = asLog([scheduled("a", 1), landed("a", 3, 20), landed("a", 3.5, 2), landed("b", 4, 30), lateRow]);
  const labels = Object.fromEntries(rowsOf(log).map(({ key, label }) => [key, label]));
  assert.deepEqual(labels, { a: 0, b: 1 });
});

test("what is read of the log is enough: the rows are those of the whole log, wherever they begin", () => {
  const log = randomFlights(2_000, 96, 3);
  const slow = parseApp(FLIGHTS_APP.replace("wait: 12h", "wait: 40h"));
  const early = asLog([landed("a", 25, 20), scheduled("a", 60.3), ...log]);
  for (const [ofApp, whole, fromMs] of [
    [app, log, at(60)],
    [app, log, at(60.2)],
    [slow, early, at(60.2)],
  ] as const) {
    const { source } = new Dataset({ app: ofApp, fromMs, toMs: undefined, knownBeforeMs: undefined });
    const read = whole.filter((event) => knownAtMs(event) >= (source.knownFromMs ?? 0));
    assert.ok(read.length < whole.length * 0.9);
    assert.deepEqual(rowsOf(read, { fromMs }, ofApp), rowsOf(whole, { fromMs }, ofApp));
  }
});

test("fields that models are evaluated by stand in the dataset as texts, and change its hash", async () => {
  const withSegments = clone(AppSchema, app);
  if (withSegments.model !== undefined) withSegments.model.segments = ["origin", "distance"];
  const log = asLog([scheduled("a", 1), scheduled("b", 2)]);
  const [row] = rowsOf(log, {}, withSegments);
  assert.deepEqual(row?.texts, ["ATL"], "distance is a feature, and has a column already");
  const part = new ParquetPart(["delay_mean_6h"], ["origin"]);
  const missing = { ...row, texts: [undefined] };
  for (const each of [row, missing]) await part.add(each);
  const { buffer } = new Uint8Array(await part.finish());
  const objects = await parquetReadObjects({ file: buffer, columns: ["request.origin"] });
  assert.deepEqual(objects, [{ "request.origin": "ATL" }, { "request.origin": null }]);
  const hashOf = (of: typeof app): string => {
    const dataset = new Dataset({ app: of, fromMs: undefined, toMs: undefined, knownBeforeMs: undefined });
    for (const event of log) dataset.add(asRead(event));
    dataset.finish();
    return dataset.manifest({ appVersion: 1, files: [], eventsRead: 2 }).contentHash;
  };
  assert.notEqual(hashOf(withSegments), hashOf(app));
});

test("a dataset is stored as Parquet with its manifest; the same inputs give the same hash, others another", async () => {
  const log = randomFlights(2_000, 48, 9);
  const times = { fromMs: at(6), toMs: at(40) };
  await using service = await TestDatasetService.start(log);
  await applyApp(service.bus, FLIGHTS_APP);
  const [manifest, progress] = await service.build(times);
  const [second] = await service.build(times);
  const [earlier] = await service.build({ ...times, knownBeforeMs: at(30) });
  const rows = await service.rows(manifest);
  const expected = rowsOf(log, { ...times, knownBeforeMs: times.toMs });
  assert.ok(progress >= 1);
  assert.equal(rows.length, expected.length);
  assert.equal(manifest.rows, BigInt(expected.length));
  const names = Object.keys(app.features).sort();
  rows.forEach((row, index) => {
    const { key, occurredAtMs, features, label } = expected[index] as DatasetRow;
    const orNull = (value: number): number | null => (Number.isNaN(value) ? null : value);
    assert.deepEqual([row.key, row.occurred_at.getTime(), row.label], [key, occurredAtMs, orNull(label)]);
    assert.deepEqual(
      names.map((name) => row[name]),
      [...features].map(orNull),
    );
  });
  assert.equal(Number(manifest.labelledRows), rows.filter(({ label }) => label !== null).length);
  const distance = manifest.columns.find(({ name }) => name === "distance");
  const distances = rows.map((row) => row["distance"] as number);
  assert.equal(distance?.max, Math.max(...distances));
  assert.ok(Math.abs((distance?.mean ?? 0) - distances.reduce((sum, value) => sum + value, 0) / rows.length) < 1e-9);
  assert.deepEqual(toBinary(DatasetManifestSchema, second), toBinary(DatasetManifestSchema, manifest));
  await assert.rejects(
    service.build({}, "unknown"),
    (error) => error instanceof MillraceError && error.code === "not_found" && /unknown/.test(error.message),
  );
  assert.notEqual(earlier.contentHash, manifest.contentHash);
  assert.ok(earlier.labelledRows < manifest.labelledRows);
});

/** The manifest of a dataset of the log, of an app that differs a little from the flights'. */
function manifestOf(log: readonly AcceptedEvent[], times: Times = {}, change: [string, string] = ["", ""]) {
  const { fromMs, toMs, knownBeforeMs } = times;
  assert.ok(FLIGHTS_APP.includes(change[0]), change[0]);
  const changed = parseApp(FLIGHTS_APP.replace(...change));
  const dataset = new Dataset({ app: changed, fromMs, toMs, knownBeforeMs });
  for (const event of log) dataset.add(asRead(event));
  dataset.finish();
  return dataset.manifest({ appVersion: 1, files: [], eventsRead: log.length });
}

test("another definition, range or horizon gives another hash, even where the rows are the same", () => {
  const log = randomFlights(300, 24, 5);
  const times = { fromMs: at(0), toMs: at(20), knownBeforeMs: at(40) };
  const same = manifestOf(log, times).contentHash;
  assert.equal(
    manifestOf(log, times, ["{at_request: request.distance}", "{description: miles, at_request: request.distance}"])
      .contentHash,
    same,
  );
  const others = [
    manifestOf(log, { ...times, fromMs: at(-1) }),
    manifestOf(log, { ...times, toMs: at(21) }),
    manifestOf(log, { ...times, knownBeforeMs: at(41) }),
    manifestOf(log, times, ["request.distance}", "request.distance + 0.0}"]),
    manifestOf(log, times, ["delay_mean_6h", "delay_average_6h"]),
    manifestOf(log, times, ["window: 6h, tile: 15m", "window: 6h, tile: 5m"]),
    manifestOf(log, times, ["value: event.delay >= 15.0, wait", "value: event.delay > 14.0, wait"]),
    manifestOf(log, times, ["wait: 12h", "wait: 13h"]),
    manifestOf(log, times, ["holdout: 20%", "holdout: 30%"]),
    manifestOf(log.slice(1), times),
  ].map(({ contentHash }) => contentHash);
  assert.equal(new Set([same, ...others]).size, others.length + 1);
});

test("a manifest tells definitions, columns, labels and the split", () => {
  const log = randomFlights(2_000, 48, 9);
  const rows = rowsOf(log, { toMs: at(40) });
  const manifest = manifestOf(log, { toMs: at(40) });
  const { features, columns, labels, split } = manifest;
  assert.deepEqual(
    [...features.map(({ name }) => name), "label"],
    columns.map(({ name }) => name),
  );
  assert.equal(manifest.sampleRows, manifest.rows);
  const distances = rows
    .map(({ features: row }) => row[features.findIndex(({ name }) => name === "distance")] as number)
    .sort((a, b) => a - b);
  const distance = columns.find(({ name }) => name === "distance");
  assert.equal(
    distance?.quantiles.find(({ share }) => share === 0.5)?.value,
    distances[Math.ceil(distances.length / 2) - 1],
  );
  assert.equal(distance?.distinct, BigInt(new Set(distances).size));
  assert.equal(distance?.constant, false);
  assert.ok((distance?.labelSignal?.auc ?? 1) < 0.65);
  assert.equal(columns.find(({ name }) => name === "label")?.labelSignal, undefined);
  const labelled = rows.filter(({ label }) => !Number.isNaN(label));
  assert.equal(labels?.positiveRows, BigInt(labelled.filter(({ label }) => label === 1).length));
  assert.equal((labels?.pendingRows ?? 0n) + (labels?.neverLabelledRows ?? 0n), BigInt(rows.length - labelled.length));
  assert.equal((split?.trainRows ?? 0n) + (split?.holdoutRows ?? 0n), BigInt(labelled.length));
  const borderMs = split?.holdoutFrom === undefined ? 0 : timestampMs(split.holdoutFrom);
  assert.equal(split?.holdoutRows, BigInt(labelled.filter(({ occurredAtMs }) => occurredAtMs >= borderMs).length));
  assert.ok(Math.abs(Number(split?.holdoutRows) / labelled.length - 0.2) < 0.01);
});
