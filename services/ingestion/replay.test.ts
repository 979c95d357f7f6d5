import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { toBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import { type Event, EventSchema, EventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import {
  type RejectedEvent,
  RejectedEventService,
  RejectedEventState,
  type ReplayRejectedEventsResponse,
} from "@millrace/proto/millrace/ingestion/v1/rejected_event_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { waitFor } from "@millrace/test-harness";
import { APP, FLIGHTS, number, scheduled, TestIngestion, text } from "./ingestionForTests.ts";

type Client = RpcClient<typeof RejectedEventService>;
type Selection = {
  app?: string;
  type?: string;
  reason?: string;
  rejectedFrom?: Timestamp;
  rejectedBefore?: Timestamp;
};

/** The same app with a rule mended: distances up to 9,000 miles, and airports in lower case. */
const mended = (version: number): string =>
  FLIGHTS.replaceAll("max: 6000", "max: 9000")
    .replaceAll('pattern: "^[A-Z]{3}$"', 'pattern: "^[A-Za-z]{3}$"')
    .replaceAll("version: 1", `version: ${version}`);

let ingestion: TestIngestion;
let client: Client;
before(async () => {
  ingestion = await TestIngestion.start();
  client = connectRpc(RejectedEventService, ingestion.address);
});
after(async () => {
  client[Symbol.dispose]();
  await ingestion[Symbol.asyncDispose]();
});

/** Waits until the index has come as far as REJECTED. */
async function indexed(): Promise<void> {
  await ingestion.settled();
  const { state } = await ingestion.bus.manager.streams.info("REJECTED");
  await waitFor(async () => {
    const { ack_floor } = await ingestion.bus.manager.consumers.info("REJECTED", "ingestion-rejected");
    return ack_floor.stream_seq >= state.last_seq;
  });
}

async function list(
  selection: Selection = {},
  state: RejectedEventState = RejectedEventState.UNSPECIFIED,
): Promise<RejectedEvent[]> {
  await indexed();
  return (await client.listRejectedEvents({ selection, state })).events;
}

async function replay(
  selection: Selection,
  { ids = [], dryRun = false }: { ids?: bigint[]; dryRun?: boolean } = {},
): Promise<Record<string, unknown>> {
  let last: ReplayRejectedEventsResponse | undefined;
  for await (const progress of client.replayRejectedEvents({ selection, ids, dryRun })) last = progress;
  assert.ok(last !== undefined);
  const { selected, replayed, accepted, duplicates, dropped, rejectedAgain, skipped, reasons } = last;
  return { selected, replayed, accepted, duplicates, dropped, rejectedAgain, skipped, reasons };
}

const inLog = async (event: Event): Promise<number> =>
  (await ingestion.readLog()).filter((accepted) => accepted.event?.id === event.id).length;
const republished = async (event: Event): Promise<number> =>
  (await ingestion.republished()).filter((accepted) => accepted.event?.id === event.id).length;

test("rejected events are found by app, type and reason, newest first, page by page, and shown as they were sent", async () => {
  const far = scheduled({}, { distance: number(7_000) });
  const lower = scheduled({}, { origin: text("jfk"), distance: number(0) });
  const unread = Buffer.from([0xff, 1]);
  await ingestion.publish(far);
  await ingestion.publish(lower);
  const sequence = await ingestion.publishBytes("events.nobody.x.y", unread, { "X-Own": "kept" });
  assert.deepEqual(
    (await list()).map(({ app, type, eventId, reasons }) => ({ app, type, eventId, reasons })),
    [
      { app: "nobody", type: "x.y", eventId: "", reasons: ["malformed"] },
      { app: APP, type: "flight.scheduled", eventId: lower.id, reasons: ["pattern_mismatch", "field_out_of_range"] },
      { app: APP, type: "flight.scheduled", eventId: far.id, reasons: ["field_out_of_range"] },
    ],
  );
  const idsOf = async (selection: Selection) => (await list(selection)).map(({ eventId }) => eventId);
  assert.deepEqual(await idsOf({ app: APP }), [lower.id, far.id]);
  assert.deepEqual(await idsOf({ reason: "pattern_mismatch" }), [lower.id]);
  assert.deepEqual(await idsOf({ type: "x.y" }), [""]);
  assert.deepEqual(await idsOf({ app: APP, type: "flight.landed" }), []);
  const first = await client.listRejectedEvents({ pageSize: 2 });
  assert.deepEqual(first.counts, { malformed: 1n, field_out_of_range: 1n, pattern_mismatch: 1n });
  const second = await client.listRejectedEvents({ pageSize: 2, pageToken: first.nextPageToken });
  assert.deepEqual([first.events.length, second.events.length, second.nextPageToken], [2, 1, ""]);

  const shown = await client.getRejectedEvent({ id: second.events[0]?.id ?? 0n });
  assert.deepEqual(Buffer.from(shown.data), Buffer.from(toBinary(EventSchema, far)));
  assert.equal((JSON.parse(shown.json) as { id: string }).id, far.id);
  assert.deepEqual(
    shown.violations.map(({ field, reason }) => [field, reason]),
    [["fields.distance", "field_out_of_range"]],
  );
  assert.match(shown.violations[0]?.description ?? "", /must be at most 6000 mile, not 7000/);
  const other = await client.getRejectedEvent({ id: first.events[0]?.id ?? 0n });
  assert.deepEqual(Buffer.from(other.data), unread);
  assert.equal(other.headers["X-Own"], "kept");
  assert.deepEqual([other.event?.streamSequence, other.json], [BigInt(sequence), ""]);
  await assert.rejects(client.getRejectedEvent({ id: 999n }), { code: "not_found" });
  await assert.rejects(client.listRejectedEvents({ pageToken: "x" }), { code: "invalid_argument" });
});

test("a replay after a fix takes in what passes, once; the rest stays, with the reasons of this try", async () => {
  const before = await ingestion.counts();
  const [lower, far] = await list({ app: APP });
  assert.deepEqual(await replay({ app: APP }), {
    selected: 2n,
    replayed: 2n,
    accepted: 0n,
    duplicates: 0n,
    dropped: 0n,
    rejectedAgain: 2n,
    skipped: {},
    reasons: { field_out_of_range: 1n, pattern_mismatch: 1n },
  });
  assert.deepEqual(
    (await list({ app: APP })).map(({ replays }) => replays),
    [1, 1],
  );
  assert.deepEqual(await ingestion.counts(), before);

  await applyApp(ingestion.bus, mended(2));
  const dry = await waitFor(async () => {
    const result = await replay({ app: APP }, { dryRun: true });
    return result["accepted"] === 1n ? result : undefined;
  });
  assert.deepEqual([dry["rejectedAgain"], dry["reasons"]], [1n, { field_out_of_range: 1n }]);
  assert.deepEqual(await ingestion.counts(), before, "a dry run changes nothing");

  const result = await replay({ app: APP });
  assert.deepEqual([result["accepted"], result["rejectedAgain"]], [1n, 1n]);
  const accepted = (await ingestion.readLog()).filter(({ event }) => event?.id === far?.eventId);
  assert.equal(accepted.length, 1);
  const counts = await ingestion.counts();
  assert.deepEqual(counts.rejected, { field_out_of_range: 1n });
  assert.equal(counts.accepted["flight.scheduled"], 1n);
  assert.deepEqual(
    (await list({ app: APP })).map(({ eventId, reasons }) => [eventId, reasons]),
    [[lower?.eventId, ["field_out_of_range"]]],
  );
  assert.deepEqual(
    (await list({}, RejectedEventState.ACCEPTED)).map(({ eventId }) => eventId),
    [far?.eventId],
  );
});

test("replaying again, by selection or by id, changes nothing", async () => {
  const [accepted] = await list({}, RejectedEventState.ACCEPTED);
  const counts = await ingestion.counts();
  const log = await ingestion.readLog();
  const again = await replay({}, { ids: [accepted?.id ?? 0n] });
  assert.deepEqual([again["selected"], again["accepted"]], [0n, 0n]);
  await replay({ app: APP });
  assert.deepEqual([await ingestion.counts(), await ingestion.readLog()], [counts, log]);
});

test("an event whose id another one has got meanwhile is a duplicate, and no longer rejected", async () => {
  const bad = scheduled({}, { distance: number(10_000) });
  await ingestion.publish(bad);
  const [rejected] = await list({ app: APP });
  assert.equal(rejected?.eventId, bad.id);
  await ingestion.publish(scheduled({ id: bad.id }));
  await ingestion.settled();
  const duplicates = (await ingestion.counts()).duplicates;
  await applyApp(ingestion.bus, mended(3).replaceAll("max: 9000", "max: 10000"));
  const result = await waitFor(async () => {
    const tried = await replay({}, { ids: [rejected?.id ?? 0n] });
    return tried["rejectedAgain"] === 0n ? tried : undefined;
  });
  assert.deepEqual([result["accepted"], result["duplicates"]], [0n, 1n]);
  assert.equal(await inLog(bad), 1);
  assert.equal((await ingestion.counts()).duplicates, duplicates + 1n);
  assert.deepEqual(
    (await list({}, RejectedEventState.DUPLICATE)).map(({ eventId }) => eventId),
    [bad.id],
  );
});

test("a part of a message of several is replayed alone, and CloudEvents as they came", async () => {
  const subject = `events.${APP}.flight.scheduled`;
  const good = scheduled();
  const part = scheduled({}, { distance: number(12_000) });
  await ingestion.publishBytes(
    subject,
    Buffer.from(toBinary(EventsSchema, { $typeName: "millrace.event.v1.Events", events: [good, part] })),
    { "Content-Type": "application/protobuf; proto=millrace.event.v1.Events" },
  );
  const cloudEvent = { flight_id: "c1", origin: "JFK", destination: "SFO", distance: 12_000 };
  await ingestion.publishBytes(subject, Buffer.from(JSON.stringify(cloudEvent)), {
    "ce-id": "c1",
    "ce-source": "/test",
    "ce-type": "flight.scheduled",
    "ce-specversion": "1.0",
    "ce-time": "2001-01-10T00:00:00Z",
    "content-type": "application/json",
  });
  assert.deepEqual(
    (await list({ app: APP })).slice(0, 2).map(({ eventId }) => eventId),
    ["c1", part.id],
  );
  await applyApp(ingestion.bus, mended(4).replaceAll("max: 9000", "max: 12000"));
  await waitFor(
    async () => (await replay({ app: APP }))["rejectedAgain"] === 1n || (await list({ app: APP })).length === 1,
  );
  assert.deepEqual([await inLog(good), await inLog(part)], [1, 1]);
  assert.deepEqual([await republished(good), await republished(part)], [1, 1]);
  assert.equal((await ingestion.readLog()).filter(({ event }) => event?.id === "c1").length, 1);
});

test("what is no event, or is there no more, is skipped by name", async () => {
  await ingestion.bus.publishBytes("rejected.some.predictions", Buffer.from("x"), {
    id: "PREDICTIONS/1",
    headers: {
      "Millrace-Subject": "predictions.some",
      "Millrace-Stream": "PREDICTIONS",
      "Millrace-Sequence": "1",
      "Millrace-Reason": "not a Prediction",
    },
  });
  await ingestion.publish(scheduled({ app: "gone" }));
  const [gone, prediction] = await list();
  assert.deepEqual([prediction?.stream, prediction?.reasons, prediction?.app], ["PREDICTIONS", ["given_up"], "some"]);
  await ingestion.bus.manager.streams.deleteMessage("REJECTED", Number(gone?.id));
  const result = await replay({}, { ids: [gone?.id ?? 0n, prediction?.id ?? 0n] });
  assert.deepEqual(result["skipped"], {
    "REJECTED has it no more": 1n,
    "not an event, but a message of PREDICTIONS": 1n,
  });
  assert.match((await client.getRejectedEvent({ id: gone?.id ?? 0n })).missing, /no more/);
});

test("rejected events are listed, counted and replayed by when they were rejected: from the first time on, before the second", async () => {
  const reason = "unknown_event_type";
  const events = [1, 2, 3].map(() => scheduled({ type: "flight.diverted" }));
  for (const event of events) {
    await ingestion.publish(event);
    await indexed();
  }
  const [third, second, first] = await list({ reason });
  const [at1, at2, at3] = [first, second, third].map((event) => event?.rejectedAt) as [Timestamp, Timestamp, Timestamp];
  assert.ok(timestampMs(at1) < timestampMs(at2) && timestampMs(at2) < timestampMs(at3));
  const after = (time: Timestamp, ms: number): Timestamp => timestampFromMs(timestampMs(time) + ms);
  const [one, two, three] = events.map(({ id }) => id);
  for (const [range, expected] of [
    [{ rejectedFrom: at1 }, [three, two, one]],
    [{ rejectedFrom: at2 }, [three, two]],
    [{ rejectedFrom: after(at2, 1) }, [three]],
    [{ rejectedFrom: { ...at2, nanos: at2.nanos + 1 } }, [three]],
    [{ rejectedFrom: after(at3, 1) }, []],
    [{ rejectedBefore: at1 }, []],
    [{ rejectedBefore: at3 }, [two, one]],
    [{ rejectedBefore: after(at3, 1) }, [three, two, one]],
    [{ rejectedFrom: at2, rejectedBefore: at3 }, [two]],
    [{ rejectedFrom: at2, rejectedBefore: at2 }, []],
  ] as const) {
    const { events: found, counts } = await client.listRejectedEvents({ selection: { reason, ...range } });
    assert.deepEqual(
      found.map(({ eventId }) => eventId),
      expected,
    );
    assert.deepEqual(counts, expected.length === 0 ? {} : { [reason]: BigInt(expected.length) });
    const { selected } = await replay({ reason, ...range }, { dryRun: true });
    assert.equal(selected, BigInt(expected.length));
  }
  const tried = await replay({ reason, rejectedFrom: at2, rejectedBefore: at3 });
  assert.deepEqual([tried["selected"], tried["rejectedAgain"]], [1n, 1n]);
  assert.deepEqual(
    (await list({ reason })).map(({ replays }) => replays),
    [0, 1, 0],
  );
});

test("what REJECTED has forgotten, the index forgets with the next message, or at the next start", async () => {
  const [newest, ...older] = await list();
  assert.ok(newest !== undefined && older.length > 0);
  await ingestion.bus.manager.streams.purge("REJECTED", { seq: Number(newest.id) });
  const bad = scheduled({}, { origin: text("?") });
  await ingestion.publish(bad);
  assert.deepEqual(
    (await list()).map(({ eventId }) => eventId),
    [bad.id, newest.eventId],
  );
  assert.deepEqual(await list({}, RejectedEventState.ACCEPTED), [], "whatever became of it");
  await ingestion.bus.manager.streams.purge("REJECTED");
  await ingestion.stop();
  await ingestion.resume();
  client[Symbol.dispose]();
  client = connectRpc(RejectedEventService, ingestion.address);
  assert.deepEqual(await list(), []);
});
