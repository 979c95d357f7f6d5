/**
 * From 6,000,000 events in the event log to a dataset of 3,000,000 rows, against the same features computed in SQL.
 *
 * The log holds half a year of US flights, two events for each. The dataset is what training asks for: `DatasetService.BuildDataset` of
 * the feature service, which streams the log through the feature engine into Parquet in the object store. It is built for the first
 * quarter of the time, for the first half, and for all of it; peak memory of the service is shown for each. The yardstick is
 * PostgreSQL, which computes the same eight features by window functions from a plain table of the same flights into a table of its
 * own, with 1 GB for its sorts; a sample of rows is compared value by value.
 */
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { connectBus } from "@millrace/bus";
import { connectDatabase, type Database } from "@millrace/db";
import { APP, DATA_FROM_MS, DATA_TO_MS, readFlights } from "@millrace/flight-delays";
import { type DatasetManifest, DatasetService } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startTestPlatform, type TestPlatform } from "@millrace/test-harness";
import { parquetReadObjects } from "hyparquet";
import { fillEventLog } from "./history/fillEventLog.ts";
import { FEATURES_BY_SQL, fillFlights } from "./history/sqlFeatures.ts";
import { peakMemoryMiB, resetPeakMemory } from "./processes/peakMemory.ts";

const AIM_SECONDS = 60;
const AIM_MIB = 1_024;
const COMPARED_ROWS = 10_000;

interface Built {
  readonly manifest: DatasetManifest;
  readonly events: number;
  readonly seconds: number;
  /** Of the feature service, and of ingestion, which reads the log for it. */
  readonly peakMiB: number;
  readonly ingestionPeakMiB: number;
}

async function build({ platform }: TestPlatform, toMs: number): Promise<Built> {
  // A new process, so that what the last build left behind is not counted.
  await platform.supervisor.service("feature").crash();
  const { pid } = platform.supervisor.service("feature");
  const { pid: ingestion } = platform.supervisor.service("ingestion");
  for (const one of [pid, ingestion]) resetPeakMemory(one);
  using datasets = connectRpc(DatasetService, platform.grpc("feature"));
  const startMs = performance.now();
  let events = 0;
  let manifest: DatasetManifest | undefined;
  const request = { app: APP, to: timestampFromMs(toMs), knownBefore: timestampFromMs(toMs + 7 * 86_400_000) };
  for await (const { step } of datasets.buildDataset(request)) {
    if (step.case === "manifest") manifest = step.value;
    if (step.case === "progress") events = Number(step.value.eventsRead);
  }
  const seconds = (performance.now() - startMs) / 1_000;
  if (manifest === undefined) throw new Error("the build ended without a manifest");
  return { manifest, events, seconds, peakMiB: peakMemoryMiB(pid), ingestionPeakMiB: peakMemoryMiB(ingestion) };
}

/** The largest difference between the dataset's values and SQL's, on rows spread over the first file. */
async function compare(system: TestPlatform, database: Database, { objects }: DatasetManifest): Promise<number> {
  await using bus = await connectBus(system.platform.nats("admin"), "bench", silentLogger);
  const blob = await (await bus.objects("datasets")).getBlob(objects[0] as string);
  if (blob === null) throw new Error("the dataset's first file is missing");
  const file = blob.buffer.slice(blob.byteOffset, blob.byteOffset + blob.byteLength) as ArrayBuffer;
  const rows = (await parquetReadObjects({ file })) as Record<string, unknown>[];
  const chosen = rows.filter((_, index) => index % Math.ceil(rows.length / COMPARED_ROWS) === 0);
  const expected = await database.query<Record<string, unknown>>({
    text: "SELECT * FROM features_by_sql WHERE key = ANY($1)",
    values: [chosen.map(({ key }) => key)],
  });
  const byKey = new Map(expected.map((row) => [row["key"], row]));
  let largest = 0;
  for (const row of chosen) {
    const other = byKey.get(row["key"]) ?? {};
    for (const [name, value] of Object.entries(row)) {
      if (name === "key" || name === "occurred_at") continue;
      if ((value === null) !== (other[name] === null))
        throw new Error(`${String(row["key"])} ${name}: ${String(value)}, SQL ${String(other[name])}`);
      largest = Math.max(largest, Math.abs(Number(value) - Number(other[name])));
    }
  }
  return largest;
}

const show = (name: string, { manifest, events, seconds, peakMiB, ingestionPeakMiB }: Built): void =>
  console.log(
    `${name.padEnd(8)} ${String(events).padStart(9)} events  ${String(manifest.rows).padStart(9)} rows  ${seconds.toFixed(1).padStart(6)} s  ` +
      `${Math.round(events / seconds).toLocaleString("en")} events/s  peak ${peakMiB.toFixed(0)} MiB (ingestion ${ingestionPeakMiB.toFixed(0)} MiB)`,
  );

const share = Number(process.argv[2] ?? 1);
const endMs = DATA_FROM_MS + share * (DATA_TO_MS - DATA_FROM_MS);
const flights = await readFlights(DATA_FROM_MS, endMs);
await using system = await startTestPlatform({ services: ["ingestion", "feature"] });
{
  await using bus = await connectBus(system.platform.nats("admin"), "bench", silentLogger);
  const written = await fillEventLog(bus, system.postgres.adminUrl, flights, (events) => {
    if (process.stdout.isTTY || events % 500_000 === 0)
      process.stdout.write(`\r${events.toLocaleString("en")} events in the log`);
  });
  console.log(`\r${written.toLocaleString("en")} events in the log`);
}
await using database = await connectDatabase({ url: system.postgres.adminUrl, schema: "public" }, silentLogger);
const quarter = await build(system, DATA_FROM_MS + (endMs - DATA_FROM_MS) / 4);
show("quarter", quarter);
const half = await build(system, DATA_FROM_MS + (endMs - DATA_FROM_MS) / 2);
show("half", half);
const all = await build(system, endMs);
show("all", all);

await fillFlights(database, flights);
const sqlStartMs = performance.now();
await database.transaction(async (client) => {
  await client.query("SET LOCAL work_mem = '1GB'");
  await client.query(FEATURES_BY_SQL);
});
const sqlSeconds = (performance.now() - sqlStartMs) / 1_000;
console.log(`SQL      window functions over a plain table: ${sqlSeconds.toFixed(1)} s`);
const difference = await compare(system, database, all.manifest);
console.log(`largest difference between the two, on ${COMPARED_ROWS.toLocaleString("en")} rows: ${difference}`);
const figures = ({ manifest, events, seconds, peakMiB, ingestionPeakMiB }: Built) => ({
  events,
  rows: Number(manifest.rows),
  seconds,
  peakMiB,
  ingestionPeakMiB,
});
console.log(
  JSON.stringify({
    bench: "history",
    ratio: sqlSeconds / all.seconds,
    aim: 1,
    yardstick: "seconds of PostgreSQL's window functions for the same features of the same flights",
    figures: {
      quarter: figures(quarter),
      half: figures(half),
      all: figures(all),
      sqlSeconds,
      largestDifference: difference,
      features: all.manifest.columns.length - 1,
      within: { seconds: all.seconds < AIM_SECONDS, memory: all.peakMiB < AIM_MIB },
    },
  }),
);
