import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { parseApp } from "@millrace/app";
import { eventSubject } from "@millrace/bus";
import { AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type AcceptedEvent,
  AcceptedEventsSchema,
  type Event,
  EventSchema,
} from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { AppDirectory } from "./appDirectory.ts";
import { BatchWriter } from "./batchWriter.ts";
import { checkEvent } from "./checkedEvent.ts";
import { FLIGHTS, KEEPS_ALL, START_MS, scheduled, TestIngestion, text } from "./ingestionForTests.ts";
import { partitionOf } from "./partitioning.ts";
import { Partitions } from "./partitions.ts";
import { startProcess } from "./processForTests.ts";

const timesOf = (events: readonly AcceptedEvent[], id: string): number =>
  events.filter(({ event }) => event?.id === id).length;

test("a producer's duplicate is in the log once, and counted each time", async () => {
  await using ingestion = await TestIngestion.start();
  const event = scheduled();
  // Two of them may be in one batch; the third comes later.
  await Promise.all([ingestion.publish(event), ingestion.publish(event)]);
  await ingestion.settled();
  await ingestion.publish(event);
  await ingestion.settled();
  assert.equal(timesOf(await ingestion.readLog(), event.id), 1);
  assert.equal(timesOf(await ingestion.republished(), event.id), 1);
  assert.equal((await ingestion.counts()).duplicates, 2n);
});

test("an id counts once, whatever its time: on another day, after a restart, and with other content, which is told apart", async () => {
  await using ingestion = await TestIngestion.start();
  const event = scheduled();
  const nextWeek = scheduled({ id: event.id, occurredAt: timestampFromMs(START_MS + 7 * 86_400_000) });
  await ingestion.publish(event);
  await ingestion.settled();
  await ingestion.stop();
  await ingestion.resume();
  await ingestion.publish(nextWeek);
  await ingestion.publish(event);
  // Both of one batch.
  const other = scheduled();
  await ingestion.publish(other);
  await ingestion.publish(scheduled({ id: other.id, occurredAt: timestampFromMs(START_MS - 86_400_000) }));
  await ingestion.settled();
  const log = await ingestion.readLog();
  assert.deepEqual(idsOf(log), [event.id, other.id].sort());
  assert.deepEqual(
    log.map(({ event: stored }) => stored?.occurredAt),
    [event.occurredAt, other.occurredAt],
  );
  assert.deepEqual(idsOf(await ingestion.republished()), [event.id, other.id].sort());
  assert.equal((await ingestion.counts()).duplicates, 3n);
  const reasons = await ingestion.database.query({
    text: "SELECT reason, count(*)::int AS events FROM not_accepted WHERE kind = 'duplicate' GROUP BY 1 ORDER BY 1",
  });
  assert.deepEqual(reasons, [
    { reason: "same id", events: 1 },
    { reason: "same id, different content", events: 2 },
  ]);
});

test("messages that the bus delivers again change nothing", async () => {
  await using ingestion = await TestIngestion.start();
  await ingestion.publish(scheduled({}, { origin: text("lower") }));
  const event = scheduled();
  await ingestion.publish(event);
  await ingestion.publish(event);
  await ingestion.publish(scheduled());
  await ingestion.settled();
  const state = async () => [await ingestion.counts(), await ingestion.readLog(), await ingestion.republished()];
  const before = await state();
  await ingestion.restartFromTheBeginning();
  assert.deepEqual(await state(), before);
});

const idsOf = (events: readonly AcceptedEvent[]): string[] => events.map(({ event }) => event?.id ?? "").sort();

/** Stores events as a process leaves them that dies between the transaction and the publication. */
async function storeWithoutPublishing(
  ingestion: TestIngestion,
  events: readonly Event[],
  app = FLIGHTS,
): Promise<void> {
  const apps = new AppDirectory(() => Promise.resolve(undefined));
  apps.adopt(create(AppVersionSchema, { version: 1, app: parseApp(app) }));
  const checked = [];
  for (const event of events) {
    const streamSequence = await ingestion.publish(event);
    const subject = eventSubject(event.app, event.type);
    const raw = {
      subject,
      data: toBinary(EventSchema, event),
      contentType: "",
      traceparent: "",
      streamSequence,
      place: 0,
    };
    checked.push(...checkEvent(raw, apps, KEEPS_ALL));
  }
  await new BatchWriter(ingestion.database, new Partitions(ingestion.database)).store(checked, () => "");
}

test("what was stored before a crash is published after it, once, and in the order of the log", async () => {
  const app = FLIGHTS.replace("partitions: 1", "partitions: 3");
  await using ingestion = await TestIngestion.start({ app });
  await ingestion.stop();
  const events = Array.from({ length: 30 }, () => scheduled());
  await storeWithoutPublishing(ingestion, events, app);
  assert.equal((await ingestion.republished()).length, 0);

  await ingestion.resume();
  await ingestion.settled();
  const messages = await ingestion.readStream("ACCEPTED");
  assert.equal(messages.length, 3);
  const ends = messages.map(({ data }) => fromBinary(AcceptedEventsSchema, data).completeBefore);
  assert.deepEqual(ends, [undefined, undefined, events.at(-1)?.occurredAt], "the last batch tells that it is the last");
  const republished = await ingestion.republished();
  assert.deepEqual(idsOf(republished), events.map(({ id }) => id).sort());
  assert.deepEqual(
    republished.toSorted((left, right) => Number(left.logSequence - right.logSequence)),
    await ingestion.readLog(),
  );
  const counts = await ingestion.counts();
  assert.deepEqual([counts.duplicates, counts.unpublished], [0n, 0n]);
});

test("events are spread over the app's partitions by id, each partition in the order of the log", async () => {
  await using ingestion = await TestIngestion.start({ app: FLIGHTS.replace("partitions: 1", "partitions: 4") });
  const events = Array.from({ length: 200 }, () => scheduled());
  await Promise.all(events.map((event) => ingestion.publish(event)));
  await ingestion.settled();
  const consumer = async (partition: number) => {
    const messages = await ingestion.readStream("ACCEPTED");
    return messages.filter(({ subject }) => subject.endsWith(`.flight.scheduled.${partition}`)).length;
  };
  for (let partition = 0; partition < 4; partition += 1) {
    assert.ok((await consumer(partition)) > 0);
    const share = events.filter(({ id }) => partitionOf(id, 4) === partition).length;
    assert.ok(share > 20, `partition ${partition} has ${share}`);
  }
  assert.equal((await ingestion.republished()).length, 200);
});

test("killed again and again while events flow, the service loses none and doubles none", async () => {
  await using ingestion = await TestIngestion.start({ running: false });
  const events = Array.from({ length: 6_000 }, (_, index) =>
    scheduled(
      { occurredAt: timestampFromMs(START_MS + index * 20_000 - (index % 5) * 300_000) },
      // Every fiftieth is bad.
      index % 50 === 7 ? { origin: text("bad") } : {},
    ),
  );
  const duplicates = events.filter((_, index) => index % 100 === 13);
  const stored = async (): Promise<number> => {
    const rows = await ingestion.database
      .query<{ events: string }>({ text: "SELECT log_sequence AS events FROM log_head" })
      .catch(() => []);
    return Number(rows[0]?.events ?? 0);
  };
  const publishing = (async () => {
    for (let start = 0; start < events.length; start += 500) {
      const part = events.slice(start, start + 500);
      await Promise.all(
        [...part, ...part.filter((event) => duplicates.includes(event))].map((event) => ingestion.publish(event)),
      );
    }
  })();
  for (const kill of [700, 2_500, 4_300]) {
    const child = startProcess(ingestion);
    const exited = once(child, "exit");
    await waitFor(async () => (await stored()) > kill, { deadlineMs: 30_000, everyMs: 1 });
    child.kill("SIGKILL");
    await exited;
  }
  await publishing;
  await ingestion.resume();
  await ingestion.settled();
  const good = events
    .filter((_, index) => index % 50 !== 7)
    .map(({ id }) => id)
    .sort();
  const log = await ingestion.readLog();
  assert.deepEqual(idsOf(log), good);
  const republished = await ingestion.republished();
  assert.deepEqual(
    republished.toSorted((left, right) => Number(left.logSequence - right.logSequence)),
    log,
  );
  const counts = await ingestion.counts();
  assert.equal(counts.accepted["flight.scheduled"], BigInt(good.length));
  assert.deepEqual(counts.rejected, { pattern_mismatch: 120n });
  assert.equal(counts.duplicates, BigInt(duplicates.length));
  await waitFor(async () => (await ingestion.readStream("REJECTED")).length === 120);
});
