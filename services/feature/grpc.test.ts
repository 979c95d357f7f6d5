import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { applyApp, parseApp } from "@millrace/app";
import { predictionSubject } from "@millrace/bus";
import { FindingKind, FindingLevel, Verdict } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import type { DatasetManifest } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { parquetMetadata } from "hyparquet";
import { Dataset } from "./dataset.ts";
import { type StoredRow, TestDatasetService, type Times } from "./datasetServiceForTests.ts";
import { FLIGHTS_APP, knownAtMs, randomFlights, START_MS } from "./flightsForTests.ts";

const HOUR_MS = 3_600_000;
const at = (hours: number): number => START_MS + hours * HOUR_MS;
const log = randomFlights(2_000, 72, 3);
const EVERYTHING: Times = {};
const TWO_DAYS: Times = { fromMs: at(6.1), toMs: at(54.2), knownBeforeMs: at(60.3) };
/** So few rows that nobody should train on them. */
const AN_HOUR: Times = { fromMs: at(10), toMs: at(11) };

let service: TestDatasetService;
let everything: DatasetManifest;
let twoDays: DatasetManifest;
let anHour: DatasetManifest;
let rows: StoredRow[];

before(async () => {
  service = await TestDatasetService.start(log);
  await applyApp(service.bus, FLIGHTS_APP);
  [everything] = await service.build(EVERYTHING);
  // A version that makes the same rows of the same definitions.
  await applyApp(service.bus, FLIGHTS_APP.replace("serving: {deadline: 50ms}", "serving: {deadline: 60ms}"));
  [twoDays] = await service.build(TWO_DAYS);
  [anHour] = await service.build(AN_HOUR);
  rows = await service.rows(twoDays);
});
after(() => service?.[Symbol.asyncDispose]());

const ms = (timestamp: DatasetManifest["from"]): number | undefined =>
  timestamp === undefined ? undefined : timestampMs(timestamp);

const failsWith = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof MillraceError && error.code === code && message.test(error.message);

test("a manifest says what was asked for, which version of the app made it, and what was read", async () => {
  assert.deepEqual([everything.appVersion, twoDays.appVersion], [1, 2]);
  assert.deepEqual(
    [everything, twoDays, anHour].map(({ from, to, knownBefore }) => [ms(from), ms(to), ms(knownBefore)]),
    [
      [undefined, undefined, undefined],
      [TWO_DAYS.fromMs, TWO_DAYS.toMs, TWO_DAYS.knownBeforeMs],
      [AN_HOUR.fromMs, AN_HOUR.toMs, AN_HOUR.toMs],
    ],
  );
  const app = parseApp(FLIGHTS_APP);
  const { source } = new Dataset({ app, fromMs: TWO_DAYS.fromMs, toMs: undefined, knownBeforeMs: undefined });
  const readOf = (fromMs: number, beforeMs: number): number[] =>
    log.map(knownAtMs).filter((knownMs) => knownMs >= fromMs && knownMs < beforeMs);
  assert.equal(everything.eventsRead, BigInt(log.length));
  assert.equal(ms(everything.logEnd), readOf(-Infinity, Infinity).at(-1));
  const read = readOf(source.knownFromMs ?? assert.fail(), at(60.3));
  assert.equal(twoDays.eventsRead, BigInt(read.length));
  assert.equal(ms(twoDays.logEnd), read.at(-1));
  assert.match(twoDays.createdBy, /^millrace feature \d/);
});

test("a manifest's rows are those of its files: their number, the first and the last, and where it was cut off", async () => {
  const times = rows.map(({ occurred_at }) => occurred_at.getTime());
  assert.equal(twoDays.rows, BigInt(times.length));
  assert.ok(times.every((timeMs) => timeMs >= at(6.1) && timeMs < at(54.2)));
  assert.deepEqual([ms(twoDays.firstRowAt), ms(twoDays.lastRowAt)], [Math.min(...times), Math.max(...times)]);
  assert.equal(twoDays.labelledRows, BigInt(rows.filter(({ label }) => label !== null).length));
});

test("a manifest's files are the stored objects, with their SHA-256, sizes, rows and row groups", async () => {
  for (const manifest of [everything, twoDays, anHour]) {
    assert.deepEqual(
      manifest.objects,
      manifest.files.map(({ name }) => name),
    );
    for (const { name, sha256, bytes, rows: fileRows, rowGroups } of manifest.files) {
      const stored = await service.object(name);
      assert.equal(sha256, createHash("sha256").update(stored).digest("hex"));
      assert.equal(name, `${sha256}.parquet`);
      assert.equal(bytes, BigInt(stored.length));
      const { num_rows, row_groups } = parquetMetadata(new Uint8Array(stored).buffer);
      assert.deepEqual([num_rows, row_groups.length], [fileRows, rowGroups]);
    }
    assert.equal(
      manifest.files.reduce((sum, { rows: fileRows }) => sum + fileRows, 0n),
      manifest.rows,
    );
  }
});

test("a dataset is listed with its figures, newest first, and described by the beginning of its hash", async () => {
  const { datasets } = await service.client.listDatasets({ app: "flights" });
  assert.deepEqual(
    datasets.map(({ contentHash }) => contentHash),
    [anHour, twoDays, everything].map(({ contentHash }) => contentHash),
  );
  const { storedAt, $typeName: _, ...listed } = datasets[1] ?? assert.fail();
  const { contentHash, appVersion, firstRowAt, lastRowAt, labelledRows, labels, files, features } = twoDays;
  assert.deepEqual(listed, {
    contentHash,
    app: "flights",
    appVersion,
    firstRowAt,
    lastRowAt,
    rows: BigInt(rows.length),
    labelledRows,
    positiveRows: labels?.positiveRows,
    bytes: files[0]?.bytes,
    features: features.length,
  });
  const described = await service.client.describeDataset({ dataset: contentHash.slice(0, 10) });
  assert.deepEqual(described.manifest, twoDays);
  assert.deepEqual(described.storedAt, storedAt);
  assert.deepEqual((await service.client.listDatasets({ app: "nobody" })).datasets, []);
  await assert.rejects(
    service.client.describeDataset({ dataset: "0".repeat(64) }),
    failsWith("not_found", /dataset list/),
  );
});

test("two datasets are told apart by their rows, and one from itself by nothing", async () => {
  const same = await service.client.diffDatasets({ left: twoDays.contentHash, right: twoDays.contentHash });
  assert.deepEqual(same.remarks, ["They are the same dataset."]);
  const { left, right, definitions, columns } = await service.client.diffDatasets({
    left: anHour.contentHash,
    right: twoDays.contentHash,
  });
  assert.deepEqual([left, right, definitions], [anHour, twoDays, []]);
  assert.deepEqual(
    columns.map(({ name }) => name),
    twoDays.columns.map(({ name }) => name),
  );
});

test("an export is the manifest, then the files' bytes as they are stored", async () => {
  const chunks: Uint8Array[] = [];
  let manifest: DatasetManifest | undefined;
  for await (const { part } of service.client.exportDataset({ dataset: twoDays.contentHash })) {
    if (part.case === "manifest") manifest = part.value;
    if (part.case !== "chunk") continue;
    assert.ok(manifest, "the manifest comes first");
    chunks.push(part.value);
  }
  assert.deepEqual(manifest, twoDays);
  const stored = await service.object(twoDays.objects[0] ?? "");
  assert.equal(Buffer.compare(Buffer.concat(chunks), stored), 0);
});

test("a report compares with what was served lately, unless that is not wanted", async () => {
  const report = async (dataset: string, withoutLive = false) =>
    (await service.client.reportDataset({ dataset, withoutLive })).report ?? assert.fail();
  const before = await report(twoDays.contentHash);
  assert.equal(before.verdict, Verdict.HONEST_ENOUGH);
  assert.equal(before.live?.nothingBecause, "no prediction was served lately");

  const served = rows.filter((_, index) => index % 3 === 0);
  for (const [index, row] of served.entries()) {
    const features = twoDays.features.map(({ name }) => {
      const value = (row[name] as number | null) ?? Number.NaN;
      return name === "distance" ? value * 3 : value;
    });
    const prediction = {
      id: `P${index}`,
      app: "flights",
      appVersion: 2,
      features,
      occurredAt: timestampFromMs(at(80) + index * 600_000),
    };
    const message = create(PredictionsSchema, { predictions: [prediction] });
    await service.bus.publish(predictionSubject("flights"), PredictionsSchema, message, { id: prediction.id });
  }
  const { verdict, findings, live } = await report(twoDays.contentHash);
  assert.equal(live?.predictions, BigInt(served.length));
  assert.deepEqual([ms(live?.from), ms(live?.to)], [at(80), at(80) + (served.length - 1) * 600_000]);
  assert.deepEqual(
    findings.map(({ level, kind, column }) => [level, kind, column]),
    [[FindingLevel.WARNING, FindingKind.LIVE_DIFFERS, "distance"]],
  );
  assert.equal(verdict, Verdict.LOOK_FIRST);

  const without = await report(twoDays.contentHash, true);
  assert.deepEqual([without.verdict, without.live, without.findings], [Verdict.HONEST_ENOUGH, undefined, []]);
  assert.equal((await report(anHour.contentHash, true)).verdict, Verdict.DO_NOT_TRAIN);
});
