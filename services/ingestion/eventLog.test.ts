import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { eventSubject } from "@millrace/bus";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { APP, START_MS, scheduled, TestIngestion } from "./ingestionForTests.ts";

let ingestion: TestIngestion;
before(async () => {
  ingestion = await TestIngestion.start();
});
after(() => ingestion[Symbol.asyncDispose]());

const byId = (events: readonly AcceptedEvent[], id: string): AcceptedEvent[] =>
  events.filter(({ event }) => event?.id === id);
const knownAtMs = ({ knownAt }: AcceptedEvent): number => timestampMs(knownAt as NonNullable<typeof knownAt>);

test("a good event is in the log and on ACCEPTED, as it was sent", async () => {
  const event = scheduled();
  await ingestion.publish(event);
  await ingestion.settled();
  const [logged, ...more] = byId(await ingestion.readLog(), event.id);
  assert.deepEqual(more, []);
  assert.deepEqual(logged?.event, event);
  assert.deepEqual(logged?.knownAt, event.occurredAt);
  assert.deepEqual(byId(await ingestion.republished(), event.id), [logged]);
});

test("ids with quotes, backslashes, braces and commas are kept as they are", async () => {
  const ids = ['a"b', "a\\b", "{a,b}", "NULL", "é😀", "'; DROP TABLE event_log; --"];
  for (const id of ids) await ingestion.publish(scheduled({ id }));
  await ingestion.settled();
  const log = await ingestion.readLog();
  for (const id of ids) assert.equal(byId(log, id).length, 1, id);
});

test("a CloudEvent in JSON is the same event as in protobuf", async () => {
  const event = scheduled();
  const flightId = event.fields["flight_id"]?.kind.value;
  const json = {
    specversion: "1.0",
    id: event.id,
    source: "/tower",
    type: event.type,
    time: new Date(timestampMs(event.occurredAt as NonNullable<typeof event.occurredAt>)).toISOString(),
    data: { flight_id: flightId, origin: "JFK", destination: "SFO", distance: 2_586 },
  };
  await ingestion.publishBytes(eventSubject(APP, event.type), Buffer.from(JSON.stringify(json)), {
    "Content-Type": "application/cloudevents+json; charset=utf-8",
  });
  await ingestion.settled();
  const [logged] = byId(await ingestion.readLog(), event.id);
  assert.deepEqual(logged?.event, event);
});

test("known_at never falls, and a late event is known when it came", async () => {
  const base = START_MS + 86_400_000;
  const offsets = [0, 60_000, -7_200_000, 30_000, 120_000];
  const events = offsets.map((offset) => scheduled({ occurredAt: timestampFromMs(base + offset) }));
  for (const event of events) await ingestion.publish(event);
  await ingestion.settled();
  const log = await ingestion.readLog();
  const times = log.map(knownAtMs);
  assert.deepEqual(
    times,
    times.toSorted((left, right) => left - right),
  );
  const sequences = log.map(({ logSequence }) => Number(logSequence));
  assert.deepEqual(
    sequences,
    sequences.toSorted((left, right) => left - right),
  );
  const own = events.map(({ id }) => byId(log, id)[0] as AcceptedEvent);
  assert.deepEqual(
    own.map((event) => knownAtMs(event) - base),
    [0, 60_000, 60_000, 60_000, 120_000],
  );
  assert.deepEqual(
    own.map(({ late }) => late),
    [false, false, true, false, false],
  );

  await ingestion.stop();
  await ingestion.resume();
  const afterRestart = scheduled({ occurredAt: timestampFromMs(base) });
  await ingestion.publish(afterRestart);
  await ingestion.settled();
  const [restarted] = byId(await ingestion.readLog(), afterRestart.id);
  assert.equal(knownAtMs(restarted as AcceptedEvent) - base, 120_000);

  const range = { knownFromMs: base + 60_000, knownBeforeMs: base + 120_000 };
  assert.deepEqual(await ingestion.readLog(range), own.slice(1, 4));
  assert.deepEqual(await ingestion.readLog({ ...range, types: ["flight.landed"] }), []);
  assert.deepEqual(await ingestion.readLog({ ...range, types: ["flight.scheduled"] }), own.slice(1, 4));
});

test("a log of several pages and days comes whole and in order", async () => {
  const base = START_MS + 10 * 86_400_000;
  const events = Array.from({ length: 4_500 }, (_, index) =>
    // Out of order by up to two hours, over five days.
    scheduled({ occurredAt: timestampFromMs(base + index * 96_000 - (index % 7) * 1_000_000) }),
  );
  await Promise.all(events.map((event) => ingestion.publish(event)));
  await ingestion.settled();
  const log = await ingestion.readLog({ knownFromMs: base - 7_200_000 });
  const sequences = log.map(({ logSequence }) => Number(logSequence));
  assert.deepEqual(
    sequences,
    sequences.toSorted((left, right) => left - right),
  );
  const ids = new Set(log.map(({ event }) => event?.id));
  assert.equal(ids.size, log.length);
  assert.deepEqual(
    events.filter(({ id }) => !ids.has(id)),
    [],
  );
  assert.equal((await ingestion.republished()).length, (await ingestion.readLog()).length);
});

test("an app that was never applied has no log", async () => {
  await assert.rejects(ingestion.counts("nobody"), /There is no app "nobody"; apply its file first/);
});
