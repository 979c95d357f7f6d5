import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { waitFor } from "@millrace/test-harness";
import { assertHours, at, note, READ_ALL, startPublisher, type Told, TYPE } from "./dataQualityForTests.ts";
import { HOUR_MS } from "./hourQuality.ts";
import { APP, number, START_MS, scheduled, TestIngestion, text } from "./ingestionForTests.ts";
import { startProcess } from "./processForTests.ts";
import { deleteQualityBefore } from "./qualityStore.ts";

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
