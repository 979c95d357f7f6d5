import assert from "node:assert/strict";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { type DataQuality, DataQualitySchema } from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { at, exact, expected, note, startPublisher, type Told } from "./dataQualityForTests.ts";
import { APP, number, START_MS, TestIngestion } from "./ingestionForTests.ts";

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
