import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { applyApp } from "@millrace/app";
import { type Bus, connectBus } from "@millrace/bus";
import { ROOT } from "@millrace/local";
import {
  type DataQuality,
  DataQualitySchema,
  DataQualityService,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startTestPlatform, type TestPlatform, waitFor } from "@millrace/test-harness";
import { APP, type Fields, flight, number, publishEvent, text } from "./flightEvents.ts";
import { millrace } from "./millraceCommand.ts";

const T0 = Date.UTC(2001, 0, 1, 8);
const MINUTE_MS = 60_000;
const HOURS = 6;

let system: TestPlatform;
let bus: Bus;
const stack = new AsyncDisposableStack();
before(async () => {
  system = stack.use(await startTestPlatform({ services: ["ingestion"] }));
  bus = stack.use(await connectBus(system.platform.nats("admin"), "data quality test", silentLogger));
  await applyApp(bus, await readFile(join(ROOT, "deploy/apps/flight-delays/app.yaml"), "utf8"));
});
after(() => stack.disposeAsync());

/** One departure in each minute: of every hour's 60, three lack the origin, two are too far, one has a field that nobody knows. */
function fieldsOf(minute: number): Fields {
  const fields = flight(`F${minute}`, {
    distance: number(100 + minute),
    origin: text(minute % 2 === 0 ? "ORD" : "JFK"),
  });
  const inHour = minute % 60;
  if (inHour % 20 === 5) delete fields["origin"];
  if (inHour % 30 === 7) fields["distance"] = number(9_999);
  if (inHour === 9) fields["gate"] = text("A1");
  return fields;
}

async function publishHours(from: number, to: number): Promise<void> {
  for (let minute = from * 60; minute < to * 60; minute += 1) {
    const occurredAtMs = T0 + minute * MINUTE_MS;
    await publishEvent(bus, { id: `F${minute}`, type: "flight.scheduled", occurredAtMs, fields: fieldsOf(minute) });
  }
}

/** The newest revision of each hour that was published. */
async function published(): Promise<DataQuality[]> {
  const { state } = await bus.manager.streams.info("QUALITY");
  const newest = new Map<string, DataQuality>();
  for (let seq = Math.max(1, state.first_seq); seq <= state.last_seq; seq += 1) {
    const message = await bus.manager.streams.getMessage("QUALITY", { seq });
    if (message === null) continue;
    const quality = fromBinary(DataQualitySchema, message.data);
    newest.set(`${quality.type}/${quality.hour?.seconds}`, quality);
  }
  return [...newest.values()];
}

test("of flights with broken fields, each field's counts are right, also when the service is killed meanwhile", async () => {
  await publishHours(0, HOURS / 2);
  await system.platform.supervisor.service("ingestion").crash();
  await publishHours(HOURS / 2, HOURS);
  using service = connectRpc(DataQualityService, system.platform.grpc("ingestion"));
  const request = { app: APP, fieldsByHour: true };
  const { totals, hours, findings } = await waitFor(
    async () => {
      const response = await service.listDataQuality(request);
      const events = response.totals.reduce((sum, { accepted, rejected }) => sum + Number(accepted + rejected), 0);
      return events >= HOURS * 60 ? response : undefined;
    },
    { deadlineMs: 30_000, everyMs: 100, what: "all flights to be counted" },
  );
  const figures = ({ accepted, rejected, unknownValues, fields }: DataQuality) => ({
    counts: [accepted, rejected, unknownValues].map(Number),
    missing: Object.fromEntries(fields.map(({ name, missing }) => [name, Number(missing)])),
    broken: Object.fromEntries(fields.map(({ name, violations }) => [name, violations])),
  });
  const expected = (hours: number) => ({
    counts: [55 * hours, 5 * hours, hours],
    missing: { destination: 0, distance: 0, flight_id: 0, origin: 3 * hours },
    broken: {
      destination: {},
      distance: { field_out_of_range: 2n * BigInt(hours) },
      flight_id: {},
      origin: { missing_field: 3n * BigInt(hours) },
    },
  });
  assert.equal(hours.length, HOURS);
  for (const hour of hours) assert.deepEqual(figures(hour), expected(1));
  assert.equal(totals.length, 1);
  const [total] = totals as [DataQuality];
  assert.deepEqual(figures(total), expected(HOURS));
  const distance = total.fields.find(({ name }) => name === "distance");
  assert.deepEqual([distance?.min, distance?.max], [100, 459]);
  const origin = total.fields.find(({ name }) => name === "origin");
  assert.deepEqual([origin?.min, origin?.max, Math.round(origin?.distinct ?? 0)], [3, 3, 2]);
  assert.deepEqual(
    findings.map(({ kind, field }) => [kind, field]),
    [
      ["unknown_fields", ""],
      ["constant", "destination"],
      ["violations", "distance"],
      ["violations", "origin"],
    ],
  );
});

test("hours that are over are published for the monitor and the console", async () => {
  // The last flight leaves at 5:59, the app's lateness is an hour: the hours up to 4:59 are over.
  const over = await waitFor(
    async () => {
      const hours = await published();
      // An hour of which events came late, as after the crash, is published again with them.
      const whole = hours.filter(({ accepted, rejected }) => accepted + rejected === 60n);
      return hours.length === HOURS - 2 && whole.length === hours.length ? hours : undefined;
    },
    { deadlineMs: 30_000, everyMs: 100, what: "the hours to be published" },
  );
  for (const { accepted, rejected } of over) assert.deepEqual([accepted, rejected], [55n, 5n]);
});

test("millrace events quality shows a row for each field, and says what to do about what looks odd", async () => {
  const {
    status,
    stdout: table,
    stderr,
  } = await millrace(system.platform, "events", "quality", "--app", APP, "--type", "flight.scheduled");
  assert.equal(status, 0, stderr);
  assert.match(table, /flight\.scheduled {3}330 accepted, 30 rejected/);
  assert.match(table, /at most 60/);
  assert.match(table, /distance +360 +0 % +~?\d+ +100 … 459 .* field_out_of_range 12\n/);
  assert.match(table, /origin +360 +5\.0 % +2 +3 characters .* missing_field 18\n/);
  assert.match(table, /→ see what came: npm run millrace -- events rejected --app flight-delays/);

  const one = await millrace(
    system.platform,
    "events",
    "quality",
    "--app",
    APP,
    "--field",
    "distance",
    "--hours",
    "2",
    "--json",
  );
  const json = JSON.parse(one.stdout) as { hours: { fields: { name: string }[] }[]; totals: { accepted: string }[] };
  assert.deepEqual(
    json.hours.map(({ fields }) => fields.map(({ name }) => name)),
    [["distance"], ["distance"]],
  );
  assert.equal(json.totals[0]?.accepted, "110");
});

test("millrace events quality refuses options that make no sense, each in one sentence", async () => {
  for (const [words, said] of [
    [[], /needs --app <app>/],
    [["--app", "nobody"], /There is no app "nobody"/],
    [["--app", APP, "--field", "gate"], /There is no field "gate".*destination/],
    [["--app", APP, "--hours", "0"], /--hours must be a whole number from 1 to 744, not "0"/],
    [["--app", APP, "--until", "soon"], /--until must be a time such as .*, not "soon"/],
  ] as const) {
    const { status, stderr } = await millrace(system.platform, "events", "quality", ...words);
    assert.equal(status, 1);
    assert.match(stderr, said);
    assert.equal(stderr.trim().split("\n").length, 1, stderr);
  }
});
