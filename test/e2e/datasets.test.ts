import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Bus, connectBus } from "@millrace/bus";
import { ROOT } from "@millrace/local";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startTestPlatform, TemporaryFolder, type TestPlatform, waitFor } from "@millrace/test-harness";
import { parquetReadObjects } from "hyparquet";
import { APP, type FlightEvent, flight, number, publishEvent, text } from "./flightEvents.ts";
import { millrace, type Said } from "./millraceCommand.ts";

const T0 = Date.UTC(2001, 0, 1);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const FILE = join(ROOT, "deploy/apps/flight-delays/app.yaml");
const FLIGHTS = 360;
const EVERY_MS = 36 * MINUTE_MS;
/** A later day, with a landing that becomes known late. */
const LATE_DAY_MS = Date.UTC(2001, 0, 21);

let system: TestPlatform;
let bus: Bus;
let folder: TemporaryFolder;
/** Of the nine days. */
let manifest: Manifest;
const stack = new AsyncDisposableStack();
before(async () => {
  folder = stack.use(new TemporaryFolder());
  system = stack.use(await startTestPlatform({ services: ["ingestion", "feature"] }));
  bus = stack.use(await connectBus(system.platform.nats("admin"), "datasets test", silentLogger));
  await run("apply", FILE);
  const events = [...nineDays(), ...lateDay()];
  for (const event of events) await publishEvent(bus, event);
  using log = connectRpc(EventLogService, system.platform.grpc("ingestion"));
  await waitFor(
    async () => {
      const { accepted } = await log.countEvents({ app: APP });
      return Object.values(accepted).reduce((sum, count) => sum + count, 0n) === BigInt(events.length);
    },
    { deadlineMs: 30_000, everyMs: 100, what: "all events to be in the log" },
  );
  manifest = await build("--to", "2001-01-15");
});
after(() => stack.disposeAsync());

const command = (...words: string[]): Promise<Said> => millrace(system.platform, ...words);

/** What a command that succeeds prints. */
async function run(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await command(...words);
  assert.equal(status, 0, stderr);
  return stdout;
}

/** The one sentence with which a command refuses. */
async function refusal(...words: string[]): Promise<string> {
  const { status, stdout, stderr } = await command(...words);
  assert.deepEqual([status, stdout, stderr.trim().split("\n").length], [1, "", 1], stderr);
  return stderr;
}

/** A flight every 36 minutes, a quarter of them late, in the order in which it is known. */
function nineDays(): FlightEvent[] {
  const events = Array.from({ length: FLIGHTS }, (_, index) => {
    const id = `F${index}`;
    const fields = flight(id, {
      origin: text(index % 2 === 0 ? "ORD" : "JFK"),
      distance: number(100 + ((index * 37) % 900)),
    });
    const departureMs = T0 + index * EVERY_MS;
    const delay = (index * 29) % 60 < 45 ? (index * 7) % 15 : 15 + ((index * 11) % 40);
    return [
      { id: `${id}-scheduled`, type: "flight.scheduled", occurredAtMs: departureMs, fields },
      landing(id, departureMs + (2 + (index % 3)) * HOUR_MS, { ...fields, delay: number(delay) }),
    ];
  });
  return events.flat().sort((left, right) => left.occurredAtMs - right.occurredAtMs);
}

const landing = (id: string, occurredAtMs: number, fields: FlightEvent["fields"]): FlightEvent => ({
  id: `${id}-landed`,
  type: "flight.landed",
  occurredAtMs,
  fields,
});

/** Departures from AAA and from CCC every ten minutes. At 2:00 a flight of each has landed: of CCC that is told at once, of AAA at 5:00. */
function lateDay(): FlightEvent[] {
  const routeOf = (origin: string) => ({ origin: text(origin), destination: text("ZZZ"), delay: number(30) });
  const events: FlightEvent[] = [];
  for (let minute = 0; minute < 8 * 60; minute += 10) {
    if (minute === 120) events.push(landing("on time", LATE_DAY_MS + 2 * HOUR_MS, flight("on time", routeOf("CCC"))));
    for (const origin of ["AAA", "CCC"]) {
      const { delay: _, ...route } = routeOf(origin);
      const id = `${origin}/${minute}`;
      const occurredAtMs = LATE_DAY_MS + minute * MINUTE_MS;
      events.push({ id, type: "flight.scheduled", occurredAtMs, fields: flight(id, route) });
    }
    if (minute === 300) events.push(landing("late", LATE_DAY_MS + 2 * HOUR_MS, flight("late", routeOf("AAA"))));
  }
  return events;
}

interface Manifest {
  readonly contentHash: string;
  readonly appVersion: number;
  readonly rows: string;
  readonly labelledRows: string;
  readonly from?: string;
  readonly to?: string;
  readonly knownBefore?: string;
  readonly files: readonly { readonly sha256: string }[];
}

const build = async (...words: string[]): Promise<Manifest> =>
  JSON.parse(await run("dataset", "build", "--app", APP, ...words, "--json")) as Manifest;

test("a dataset is built, twice the same one, listed, described and compared", async () => {
  assert.deepEqual([manifest.rows, manifest.labelledRows, manifest.appVersion], ["360", "360", 1]);
  assert.deepEqual(
    [manifest.from, manifest.to, manifest.knownBefore],
    [undefined, "2001-01-15T00:00:00Z", "2001-01-15T00:00:00Z"],
  );
  assert.deepEqual(await build("--to", "2001-01-15"), manifest);
  const name = manifest.contentHash.slice(0, 12);
  const said = await run("dataset", "build", "--app", APP, "--to", "2001-01-15");
  assert.match(
    said,
    new RegExp(`^Dataset ${name}: 360 rows from 720 events, 8 features, \\d+ KiB\n100.0 % of the rows are labelled, `),
  );

  assert.match(
    await run("dataset", "list"),
    new RegExp(`^dataset +app .*\n${name}  flight-delays +1 .* 360 +100\\.0 % .*\n$`),
  );
  assert.match(
    await run("dataset", "list", "--app", "nobody"),
    /^No dataset is stored; build one with: npm run millrace/,
  );
  const listed = JSON.parse(await run("dataset", "list", "--app", APP, "--json")) as Manifest[];
  assert.deepEqual(
    listed.map(({ contentHash, rows }) => [contentHash, rows]),
    [[manifest.contentHash, "360"]],
  );

  assert.deepEqual(JSON.parse(await run("dataset", "describe", name, "--json")), manifest);
  const described = await run("dataset", "describe", name);
  assert.match(described, new RegExp(`^dataset +${manifest.contentHash}\napp +flight-delays, version 1\n`));
  assert.match(described, /asked for +from - to 2001-01-15 00:00, known before 2001-01-15 00:00/);
  assert.match(described, /rows +360, one for each flight\.scheduled, 2001-01-01 00:00 to 2001-01-09 23:24/);
  assert.match(described, /events +720 read, the last known at 2001-01-10 0\d:\d\d/);
  assert.match(
    described,
    /origin_late_6h +MEAN\(event\.delay >= 15\.0\) of flight\.landed by origin, over 6h in tiles of 5m/,
  );

  const short = await build("--to", "2001-01-05");
  assert.match(await run("dataset", "diff", name, name), /They are the same dataset\./);
  const difference = await run("dataset", "diff", short.contentHash, name);
  assert.match(difference, new RegExp(`^ +${short.contentHash.slice(0, 12)} +${name}\n`));
  assert.match(difference, /rows +160 +360\n/);
  assert.doesNotMatch(difference, /Definitions that are not the same/);
  const changed = folder.join("app.yaml");
  await writeFile(changed, (await readFile(FILE, "utf8")).replace("request.distance", "request.distance / 1000.0"));
  await run("apply", changed);
  const newer = await build("--to", "2001-01-15");
  assert.equal(newer.appVersion, 2);
  const definitions = await run("dataset", "diff", name, newer.contentHash);
  assert.match(
    definitions,
    /not the same:\n {2}distance\n {4}- request\.distance\n {4}\+ request\.distance \/ 1000\.0\n/,
  );
  assert.match(definitions, /distance is defined differently, so its values cannot be compared\./);
});

test("a report says whether to train, in words, as a page and as JSON, and ends with 1 when not to", async () => {
  const { contentHash } = manifest;
  const page = folder.join("report.html");
  const { status, stdout } = await command("dataset", "report", contentHash, "--html", page);
  assert.equal(status, 0);
  assert.match(
    stdout,
    new RegExp(`^Dataset ${contentHash.slice(0, 12)} of flight-delays: is this data honest enough to train on\\?`),
  );
  assert.match(stdout, /\n {2}Look at .* before you trust a model of it\.\n/);
  assert.match(stdout, /\n {8}→ /);
  assert.match(stdout, /Not compared with what was served: no prediction was served lately\.\n/);
  assert.match(stdout, new RegExp(`The report as a page: ${page}\n$`));
  assert.match(await readFile(page, "utf8"), /^<!doctype html>[^]*Look at [^]*<svg [^]*<\/html>\n$/);
  assert.doesNotMatch(await run("dataset", "report", contentHash, "--without-live"), /Not compared/);

  const few = await build("--from", "2001-01-02", "--to", "2001-01-04");
  const stopped = await command("dataset", "report", few.contentHash);
  assert.equal(stopped.status, 1);
  assert.match(stopped.stdout, /Do not train on this: one thing would mislead the model\./);
  assert.match(stopped.stdout, /STOP {2}Only \d\d rows of 80 are labelled\.\n {8}→ Training needs 200 at least/);
  const json = await command("dataset", "report", few.contentHash, "--json");
  assert.equal(json.status, 1);
  const { report } = JSON.parse(json.stdout) as { report: { verdict: string; findings: { kind: string }[] } };
  assert.deepEqual([report.verdict, report.findings[0]?.kind], ["VERDICT_DO_NOT_TRAIN", "FINDING_KIND_TOO_FEW_ROWS"]);
  const unwritten = await command("dataset", "report", contentHash, "--html", folder.join("no/such/page.html"));
  assert.equal(unwritten.status, 1);
  assert.match(unwritten.stderr, /page\.html cannot be written/);
});

test("an export is checked files, their hashes and the manifest; a folder that holds anything is left alone", async () => {
  const target = folder.join("new/export");
  assert.match(
    await run("dataset", "export", manifest.contentHash, target),
    /export: dataset .*, 360 rows in 1 Parquet file\n$/,
  );
  assert.deepEqual((await readdir(target)).sort(), ["SHA256SUMS", "manifest.json", "part-00000.parquet"]);
  const sha256 = createHash("sha256")
    .update(await readFile(join(target, "part-00000.parquet")))
    .digest("hex");
  assert.equal(await readFile(join(target, "SHA256SUMS"), "utf8"), `${sha256}  part-00000.parquet\n`);
  assert.equal(manifest.files[0]?.sha256, sha256);
  assert.deepEqual(JSON.parse(await readFile(join(target, "manifest.json"), "utf8")), manifest);

  assert.match(
    await refusal("dataset", "export", manifest.contentHash, target),
    /is not empty; name another one, or empty it/,
  );
  const mine = folder.join("mine");
  await mkdir(mine);
  await writeFile(join(mine, "notes.txt"), "mine");
  assert.match(await refusal("dataset", "export", manifest.contentHash, mine), /mine is not empty/);
  assert.deepEqual(await readdir(mine), ["notes.txt"]);
  assert.match(await refusal("dataset", "export", "0000", folder.join("none")), /There is no dataset 0000/);
  assert.ok(!existsSync(folder.join("none")), "a folder that was made for nothing is taken away");
});

test("dataset commands refuse what makes no sense, each in one sentence", async () => {
  const refused = [
    [["build", "--app", "nobody"], /There is no app "nobody"/],
    [
      ["build", "--app", APP, "--from", "yesterday"],
      /--from must be a day or a time with its zone, .* not "yesterday"/,
    ],
    [["build", "--app", APP, "--from", "2001-01-03", "--to", "2001-01-02"], /from must be before to/],
    [["diff", "0000"], /dataset diff takes <left> <right>/],
    [["report", "my data"], /"my data" is not the content hash of a dataset/],
  ] as const;
  await Promise.all(refused.map(async ([words, said]) => assert.match(await refusal("dataset", ...words), said)));
});

test("a landing that is published three hours late is not seen by rows between its time and its arrival", async () => {
  const { contentHash, rows } = await build("--from", "2001-01-21", "--to", "2001-01-22");
  assert.equal(rows, "96");
  const target = folder.join("late");
  await run("dataset", "export", contentHash, target);
  const file = new Uint8Array(await readFile(join(target, "part-00000.parquet"))).buffer;
  const stored = (await parquetReadObjects({ file })) as (Record<string, number | null> & { key: string })[];
  /** Minutes of the day at which a row of this origin sees the landing. */
  const seen = (origin: string, feature: string): number[] =>
    stored
      .filter(({ key, [feature]: value }) => key.startsWith(origin) && value !== null)
      .map(({ key }) => Number(key.split("/")[1]));
  const minutes = (from: number, to: number): number[] =>
    Array.from({ length: (to - from) / 10 }, (_, index) => from + index * 10);
  // From the end of its tile on, until the window has left it behind.
  assert.deepEqual(seen("CCC", "origin_late_6h"), minutes(130, 480));
  assert.deepEqual(seen("AAA", "origin_late_6h"), minutes(310, 480));
  assert.deepEqual(seen("CCC", "origin_late_1h"), minutes(130, 190));
  assert.deepEqual(seen("AAA", "origin_late_1h"), []);
  assert.deepEqual(seen("CCC", "route_late_7d"), minutes(180, 480));
  assert.deepEqual(seen("AAA", "route_late_7d"), minutes(360, 480));
});
