import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { parseApp } from "@millrace/app";
import { AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { Event, Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import {
  type DataQuality,
  DataQualityAdditionSchema,
  DataQualitySchema,
  type ListDataQualityRequestSchema,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { MillraceError, silentLogger } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { AppDirectory } from "./appDirectory.ts";
import { HOUR_MS, HourQuality } from "./hourQuality.ts";
import { APP, FLIGHTS, number, START_MS, scheduled, TestIngestion, text } from "./ingestionForTests.ts";
import { startProcess } from "./processForTests.ts";
import { QualityPublisher } from "./qualityPublisher.ts";
import { deleteQualityBefore } from "./qualityStore.ts";

const TYPE = "flight.scheduled";
const SCHEMA = parseApp(FLIGHTS).events[TYPE]?.fields ?? {};

/** An event at a minute after the start. */
const at = (minute: number, fields: Record<string, Value> = {}, id?: string): Event =>
  scheduled({ occurredAt: timestampFromMs(START_MS + minute * 60_000), ...(id === undefined ? {} : { id }) }, fields);

/** What is exact of it: all but the revision and the rounded mean and squared differences. */
const exact = (quality: DataQuality) => ({
  ...quality,
  revision: 0n,
  fields: quality.fields.map((field) => ({
    ...field,
    mean: 0,
    squaredDifferences: 0,
    distinctSketch: Uint8Array.from(field.distinctSketch),
  })),
});

const READ_ALL: MessageInitShape<typeof ListDataQualityRequestSchema> = {
  from: timestampFromMs(START_MS - 24 * HOUR_MS),
  to: timestampFromMs(START_MS + 20 * 24 * HOUR_MS),
  fieldsByHour: true,
};

interface Told {
  readonly event: Event;
  /** Of the rule that it breaks: the field and the reason. */
  readonly broken?: readonly [field: string, reason: string];
}

/** What the events, each counted once, should have made of their hours, straight from the definition. */
function expected(told: readonly Told[]): DataQuality[] {
  const hours = new Map<number, HourQuality>();
  for (const { event, broken } of told) {
    const hourMs = Math.floor(timestampMs(event.occurredAt ?? timestampFromMs(0)) / HOUR_MS) * HOUR_MS;
    const hour = hours.get(hourMs) ?? new HourQuality(APP, TYPE, hourMs, SCHEMA);
    hours.set(hourMs, hour);
    if (broken === undefined) hour.accept(event);
    else hour.refuse(event, [{ field: broken[0], reason: broken[1], description: "" }]);
  }
  return [...hours.values()].sort((left, right) => left.hourMs - right.hourMs).map((hour) => hour.toMessage());
}

const withoutSketches = (quality: DataQuality): DataQuality => ({
  ...quality,
  fields: quality.fields.map((field) => ({ ...field, distinctSketch: new Uint8Array() })),
});

async function assertHours(ingestion: TestIngestion, told: readonly Told[]): Promise<void> {
  const { hours } = await ingestion.quality(READ_ALL);
  const model = expected(told).map(withoutSketches).map(exact);
  assert.deepEqual(hours.map(exact), model);
}

const BAD_ORIGIN = ["fields.origin", "pattern_mismatch"] as const;

test("every event counts once in its hour, accepted or rejected, whatever comes twice", async () => {
  await using ingestion = await TestIngestion.start();
  const told: Told[] = Array.from({ length: 300 }, (_, index) =>
    index % 10 === 3
      ? { event: at(index, { origin: text("nowhere") }), broken: BAD_ORIGIN }
      : { event: at(index, { distance: number(1 + index * 7), extra: text("?") }) },
  );
  for (const { event } of told) await ingestion.publish(event);
  // Producers' duplicates: in later messages, alone and among new events.
  const good = told.filter(({ broken }) => broken === undefined);
  await Promise.all(good.slice(0, 50).map(({ event }) => ingestion.publish(event)));
  const more = [{ event: at(301) }, { event: at(302) }];
  await Promise.all([...more, ...good.slice(0, 20)].map(({ event }) => ingestion.publish(event)));
  await ingestion.settled();
  const all = [...told, ...more];
  await assertHours(ingestion, all);
  const { totals } = await ingestion.quality(READ_ALL);
  assert.deepEqual(
    totals.map(({ accepted, rejected, unknownValues }) => [accepted, rejected, unknownValues]),
    [[272n, 30n, 270n]],
  );
  // The bus delivers everything again.
  await ingestion.restartFromTheBeginning();
  await assertHours(ingestion, all);
});

test("killed again and again while events flow, the service counts each once", async () => {
  await using ingestion = await TestIngestion.start({ running: false });
  const told: Told[] = Array.from({ length: 6_000 }, (_, index) =>
    index % 50 === 7
      ? { event: at((index % 5) * 60 + index / 20, { origin: text("bad") }), broken: BAD_ORIGIN }
      : { event: at((index % 5) * 60 + index / 20, { distance: number(1 + (index % 997)) }) },
  );
  const noted = async (): Promise<number> => {
    const rows = await ingestion.database
      .query<{ events: string }>({ text: "SELECT log_sequence AS events FROM log_head" })
      .catch(() => []);
    return Number(rows[0]?.events ?? 0);
  };
  const publishing = (async () => {
    for (let start = 0; start < told.length; start += 500) {
      const part = told.slice(start, start + 500);
      const twice = part.filter(({ broken }, index) => broken === undefined && index % 20 === 3);
      await Promise.all([...part, ...twice].map(({ event }) => ingestion.publish(event)));
    }
  })();
  for (const kill of [700, 2_500, 4_300]) {
    const child = startProcess(ingestion);
    const exited = once(child, "exit");
    await waitFor(async () => (await noted()) > kill, { deadlineMs: 30_000, everyMs: 1 });
    child.kill("SIGKILL");
    await exited;
  }
  await publishing;
  await ingestion.resume();
  await ingestion.settled();
  await assertHours(ingestion, told);
});

/** What was published, the newest revision of each hour, and how many messages there were. */
async function published(ingestion: TestIngestion): Promise<{ newest: DataQuality[]; messages: number }> {
  const messages = await ingestion.readStream("QUALITY");
  const newest = new Map<number, DataQuality>();
  for (const { subject, data } of messages) {
    assert.equal(subject, `quality.${APP}`);
    const quality = fromBinary(DataQualitySchema, data);
    const hourMs = timestampMs(quality.hour ?? timestampFromMs(0));
    if ((newest.get(hourMs)?.revision ?? 0n) < quality.revision) newest.set(hourMs, quality);
  }
  return { newest: [...newest.values()], messages: messages.length };
}

async function untilPublished(ingestion: TestIngestion, hours: readonly DataQuality[]): Promise<number> {
  let now: { newest: DataQuality[]; messages: number } | undefined;
  const same = (actual: DataQuality, index: number): boolean => {
    const wanted = hours[index];
    return wanted !== undefined && actual.accepted === wanted.accepted && actual.rejected === wanted.rejected;
  };
  await waitFor(
    async () => {
      now = await published(ingestion);
      return now.newest.length === hours.length && now.newest.every(same);
    },
    { what: "the hours to be published", deadlineMs: 20_000, everyMs: 50 },
  );
  assert.deepEqual(now?.newest.map(exact), hours.map(exact));
  return now?.messages ?? 0;
}

/** Publishes as the service does, without waiting long. */
function startPublisher(ingestion: TestIngestion, againMs = 100): QualityPublisher {
  const apps = new AppDirectory(() => Promise.resolve(undefined));
  apps.adopt(create(AppVersionSchema, { version: 1, app: parseApp(FLIGHTS) }));
  return new QualityPublisher(ingestion.bus, ingestion.database, apps, silentLogger, { intervalMs: 20, againMs });
}

/** Notes events as a stored batch does. */
async function note({ database }: TestIngestion, told: readonly Told[]): Promise<void> {
  const addition = create(DataQualityAdditionSchema, { hours: expected(told) });
  await database.query({
    text: "INSERT INTO quality_addition (hours) VALUES ($1)",
    values: [Buffer.from(toBinary(DataQualityAdditionSchema, addition))],
  });
}

test("an hour is published once the clock has passed it by the app's lateness, and again when a late event changes it", async () => {
  await using ingestion = await TestIngestion.start();
  // The clock stands at 3:00, the lateness is an hour: of the hours from 0, 1, 2 and 3 on, the first two are over.
  const told: Told[] = [0, 30, 59, 60, 119, 120, 179, 180].map((minute) => ({ event: at(minute) }));
  for (const { event } of told) await ingestion.publish(event);
  await ingestion.settled();
  assert.equal(await untilPublished(ingestion, expected(told).slice(0, 2)), 2);

  const late = { event: at(10, { distance: number(6_000) }) };
  await ingestion.publish(late.event);
  await ingestion.settled();
  await ingestion.stop();
  await using _ = startPublisher(ingestion);
  await untilPublished(ingestion, expected([...told, late]).slice(0, 2));
});

test("what a process that died had not published, or had not noted as published, the next one publishes, once", async () => {
  await using ingestion = await TestIngestion.start();
  const told: Told[] = [0, 60, 240].map((minute) => ({ event: at(minute) }));
  for (const { event } of told) await ingestion.publish(event);
  await ingestion.settled();
  const over = expected(told).slice(0, 2);
  assert.equal(await untilPublished(ingestion, over), 2);
  await ingestion.stop();
  await ingestion.database.query({ text: "UPDATE quality_hour SET published_revision = 0, published_at = NULL" });
  await using _ = startPublisher(ingestion);
  const left = async () =>
    (await ingestion.database.query({ text: "SELECT FROM quality_hour WHERE published_revision = 0" })).length;
  // The hour that is not over stays.
  await waitFor(async () => (await left()) === 1, { what: "the hours to be published again" });
  assert.equal(await untilPublished(ingestion, over), 2);
});

test("an hour that late events go on changing is published with all of them, and far less often than it changes", async () => {
  await using ingestion = await TestIngestion.start();
  const last = at(600);
  await ingestion.publish(last);
  await ingestion.settled();
  await ingestion.stop();
  const againMs = 500;
  const startedAt = performance.now();
  await using _ = startPublisher(ingestion, againMs);
  const revision = async (): Promise<number> => {
    const rows = await ingestion.database.query<{ revision: string }>({
      text: "SELECT revision FROM quality_hour WHERE hour = to_timestamp($1)",
      values: [START_MS / 1_000],
    });
    return Number(rows[0]?.revision ?? 0);
  };
  const late: Told[] = [];
  for (let round = 0; round < 20; round += 1) {
    const more = Array.from({ length: 5 }, (_, index) => ({ event: at(round + index / 10) }));
    late.push(...more);
    const before = await revision();
    await note(ingestion, more);
    await waitFor(async () => (await revision()) > before, { what: "the next revision", everyMs: 5 });
  }
  const told = [...late, { event: last }];
  const messages = await untilPublished(ingestion, expected(told).slice(0, 1));
  const times = 1 + (performance.now() - startedAt) / againMs;
  assert.ok((await revision()) >= 20 && messages <= times, `${messages} messages for ${times} times`);
});

test("replicas take turns: whatever each batch noted is added once", async () => {
  await using ingestion = await TestIngestion.start();
  await using _ = startPublisher(ingestion);
  await using __ = startPublisher(ingestion);
  const told: Told[] = [];
  const note200 = async (writer: number): Promise<void> => {
    for (let round = 0; round < 200; round += 1) {
      const more = [{ event: at(round * 2 + writer) }, { event: at(writer) }];
      told.push(...more);
      await note(ingestion, more);
    }
  };
  await Promise.all([note200(0), note200(1), ingestion.quality(READ_ALL), ingestion.quality(READ_ALL)]);
  await assertHours(ingestion, told);
});

test("hours before a day are forgotten when the log's are", async () => {
  await using ingestion = await TestIngestion.start();
  const [old, recent] = [{ event: at(0) }, { event: at(3 * 24 * 60) }];
  for (const { event } of [old, recent]) await ingestion.publish(event);
  await ingestion.settled();
  await assertHours(ingestion, [old, recent]);
  const dayMs = Math.floor(START_MS / (24 * HOUR_MS)) * 24 * HOUR_MS;
  assert.equal(await deleteQualityBefore(ingestion.database, dayMs), 0);
  assert.equal(await deleteQualityBefore(ingestion.database, dayMs + 24 * HOUR_MS), 1);
  await assertHours(ingestion, [recent]);
});

test("what cannot be attributed to a type and an hour makes no hour, nor do strangers' names make fields", async () => {
  await using ingestion = await TestIngestion.start();
  const future = scheduled({ occurredAt: timestampFromMs(Date.UTC(2090, 0, 1)) });
  const nowhere = scheduled({ type: "flight.lost" });
  const { occurredAt: _, ...timeless } = scheduled();
  for (const event of [future, nowhere, timeless]) await ingestion.publish(event);
  await ingestion.publish(at(1), `events.${APP}.flight.landed`);
  await ingestion.publishBytes(`events.${APP}.${TYPE}`, Buffer.from("junk"));
  const strange = Object.fromEntries(Array.from({ length: 50 }, (_, index) => [`strange_${index}`, text("?")]));
  const told = [{ event: at(5, strange) }];
  for (const { event } of told) await ingestion.publish(event);
  await ingestion.settled();
  await assertHours(ingestion, told);
  assert.equal((await ingestion.database.query({ text: "SELECT FROM quality_hour" })).length, 1);
  const { totals, findings } = await ingestion.quality(READ_ALL);
  assert.deepEqual(
    totals[0]?.fields.map(({ name }) => name),
    ["destination", "distance", "flight_id", "origin"],
  );
  assert.equal(totals[0]?.unknownValues, 50n);
  assert.deepEqual(
    findings.map(({ kind }) => kind),
    ["unknown_fields"],
  );
});

test("the newest day is shown unless one asks for other hours, a type or a field; what there is not is told", async () => {
  await using ingestion = await TestIngestion.start();
  const empty = await ingestion.quality();
  assert.deepEqual([empty.totals, empty.hours], [[], []]);
  // Nothing was accepted yet, so there is no clock.
  await ingestion.publish(at(-90, { origin: text("nowhere") }));
  await ingestion.settled();
  const { totals: refusals, findings } = await ingestion.quality();
  assert.deepEqual(
    refusals.map(({ accepted, rejected }) => [accepted, rejected]),
    [[0n, 1n]],
  );
  assert.equal(findings[0]?.kind, "all_rejected");
  for (const minute of [0, 30 * 60, 40 * 60]) await ingestion.publish(at(minute));
  await ingestion.settled();
  const hoursOf = async (request: MessageInitShape<typeof ListDataQualityRequestSchema>) => {
    const { hours } = await ingestion.quality(request);
    return hours.map(({ hour }) => (timestampMs(hour ?? timestampFromMs(0)) - START_MS) / HOUR_MS);
  };
  assert.deepEqual(await hoursOf({}), [30, 40]);
  assert.deepEqual(await hoursOf({ hours: 1 }), [40]);
  assert.deepEqual(await hoursOf({ hours: 41 }), [0, 30, 40]);
  assert.deepEqual(await hoursOf({ hours: 11, to: timestampFromMs(START_MS + 40 * HOUR_MS) }), [30]);
  assert.deepEqual(await hoursOf({ type: "flight.landed" }), []);
  const { totals, hours } = await ingestion.quality({ field: "distance", fieldsByHour: true });
  for (const quality of [...totals, ...hours])
    assert.deepEqual(
      quality.fields.map(({ name }) => name),
      ["distance"],
    );
  const refused: [MessageInitShape<typeof ListDataQualityRequestSchema>, string, RegExp][] = [
    [{ app: "nobody" }, "not_found", /no app "nobody"/],
    [{ type: "flight.lost" }, "not_found", /it has: flight\.landed, flight\.scheduled$/],
    [{ type: TYPE, field: "delay" }, "not_found", /there are: destination, distance, flight_id, origin$/],
    [{ hours: 10_000 }, "invalid_argument", /ask for 744 hours or fewer/],
    [{ from: timestampFromMs(9), to: timestampFromMs(9) }, "invalid_argument", /must be before/],
  ];
  for (const [request, code, message] of refused) {
    await assert.rejects(ingestion.quality(request), (error) => {
      assert.ok(error instanceof MillraceError && error.code === code);
      assert.match(error.message, message);
      return true;
    });
  }
});
