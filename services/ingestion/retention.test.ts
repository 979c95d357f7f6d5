import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import type { Database } from "@millrace/db";
import type { Event } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { FLIGHTS, START_MS, scheduled, TestIngestion } from "./ingestionForTests.ts";
import { Partitions } from "./partitions.ts";
import { Retention } from "./retention.ts";

const DAY_MS = 86_400_000;
const FIRST_DAY = START_MS / DAY_MS;

const onDay = (day: number, changes: Partial<Event> = {}): Event =>
  scheduled({ occurredAt: timestampFromMs(START_MS + day * DAY_MS), ...changes });

const daysOf = async (database: Database): Promise<number[]> =>
  (await new Partitions(database).days()).map((day) => day - FIRST_DAY);

const keeping = (ingestion: TestIngestion, days: number | undefined): Promise<Retention> =>
  Retention.start({
    database: ingestion.database,
    partitions: new Partitions(ingestion.database),
    days,
    logger: silentLogger,
  });

test("days are there before their events come, a week ahead of the clock", async () => {
  await using ingestion = await TestIngestion.start();
  await ingestion.publish(onDay(0));
  await ingestion.settled();
  await using _ = await keeping(ingestion, undefined);
  assert.deepEqual(await daysOf(ingestion.database), [0, 1, 2, 3, 4, 5, 6, 7]);
});

test("days that are too old are dropped, with their identities and their data quality; younger ones stay whole", async () => {
  await using ingestion = await TestIngestion.start();
  for (const day of [0, 1, 5]) await ingestion.publish(onDay(day));
  const kept = onDay(9);
  await ingestion.publish(kept);
  const newest = onDay(10);
  await ingestion.publish(newest);
  await ingestion.settled();
  await using _ = await keeping(ingestion, 2);
  assert.deepEqual(await daysOf(ingestion.database), [9, 10, 11, 12, 13, 14, 15, 16, 17]);
  const ids = (await ingestion.readLog()).map(({ event }) => event?.id);
  assert.deepEqual(ids, [kept.id, newest.id]);
  const identities = await ingestion.database.query<{ id: string }>({ text: "SELECT id FROM event_identity" });
  assert.deepEqual(identities.map(({ id }) => id).sort(), [kept.id, newest.id].sort());
  const hours = await ingestion.database.query({
    text: "SELECT FROM quality_hour WHERE hour < to_timestamp($1)",
    values: [(START_MS + 9 * DAY_MS) / 1_000],
  });
  assert.equal(hours.length, 0);
});

test("an event from before what is kept is rejected by name, and makes no day again", async () => {
  await using ingestion = await TestIngestion.start({ running: false });
  ingestion.config = { ...ingestion.config, retentionDays: 2 };
  await ingestion.resume();
  await ingestion.publish(onDay(10));
  await ingestion.settled();
  // The clock is read at the start, and once a minute.
  await ingestion.stop();
  await ingestion.resume();
  await ingestion.publish(onDay(8));
  await ingestion.publish(onDay(7.999));
  await ingestion.settled();
  assert.equal((await ingestion.readLog()).length, 2);
  const [rejection] = await ingestion.readStream("REJECTED");
  assert.match(
    rejection?.headers?.get("Millrace-Reason") ?? "",
    /occurred_at must be 2001-01-18T00:00:00\.000Z or later, from when on the event log is kept \(INGESTION_RETENTION_DAYS\), not 2001-01-17T23:58/,
  );
  assert.deepEqual((await daysOf(ingestion.database))[0], 8);
});

test("each app has its own clock: a day stays while an app for which it is not too old has events in it", async () => {
  await using ingestion = await TestIngestion.start();
  await applyApp(ingestion.bus, FLIGHTS.replace("app: flight-delays", "app: slow"));
  await ingestion.publish(onDay(0, { app: "slow" }));
  await ingestion.publish(onDay(10));
  await ingestion.publish(onDay(20));
  await ingestion.settled();
  await using retention = await keeping(ingestion, 3);
  assert.deepEqual((await daysOf(ingestion.database)).slice(0, 9), [0, 1, 2, 3, 4, 5, 6, 7, 20]);
  assert.equal((await ingestion.readLog({ app: "slow" })).length, 1);
  await ingestion.publish(onDay(4, { app: "slow" }));
  await ingestion.settled();
  assert.ok((await retention.maintain()).includes(FIRST_DAY));
  assert.equal((await ingestion.readLog({ app: "slow" })).length, 1);
});

test("a day goes while others read the log and write to it, and after a process that died over it", async () => {
  await using ingestion = await TestIngestion.start();
  for (let day = 0; day <= 12; day += 1)
    for (let times = 0; times < 20; times += 1) await ingestion.publish(onDay(day));
  await ingestion.settled();
  const reading = new AbortController();
  let reads = 0;
  const readers = Array.from({ length: 3 }, async () => {
    while (!reading.signal.aborted) {
      await ingestion.readLog();
      reads += 1;
    }
  });
  const writing = (async () => {
    for (let times = 0; times < 50; times += 1) await ingestion.publish(onDay(12));
  })();
  await using retention = await keeping(ingestion, 6);
  await writing;
  await ingestion.settled();
  reading.abort();
  await Promise.all(readers);
  assert.ok(reads > 0);
  assert.equal((await ingestion.readLog()).length, 7 * 20 + 50);
  // Detached, and not dropped yet.
  const name = `event_log_${new Date(START_MS + 6 * DAY_MS).toISOString().slice(0, 10).replaceAll("-", "_")}`;
  await ingestion.database.pool.query(`ALTER TABLE event_log DETACH PARTITION ${name} CONCURRENTLY`);
  await retention.maintain();
  const left = await ingestion.database.query({ text: "SELECT FROM pg_class WHERE relname = $1", values: [name] });
  assert.equal(left.length, 0);
});
