import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import { type Bus, eventSubject, type JsMsg } from "@millrace/bus";
import { connectDatabase, type Database } from "@millrace/db";
import {
  type AcceptedEvent,
  AcceptedEventsSchema,
  type Event,
  EventSchema,
  type Value,
  ValueSchema,
} from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { silentLogger } from "@millrace/runtime";
import { startNats, startPostgres, type TestNats, type TestPostgres, waitFor } from "@millrace/test-harness";
import type { IngestionConfig } from "./config.ts";
import { startIngestion } from "./ingestion.ts";

const APP_FILE = new URL("../../deploy/apps/flight-delays/app.yaml", import.meta.url);
const APP = "flight-delays";
const NOW_MS = Date.UTC(2001, 5, 1);
const START_MS = Date.UTC(2001, 0, 10);

let nats: TestNats;
let postgres: TestPostgres;
let bus: Bus;
let database: Database;
let stack: AsyncDisposableStack;
let log: RpcClient<typeof EventLogService>;
let config: IngestionConfig;

const resources = new AsyncDisposableStack();

before(async () => {
  nats = resources.use(await startNats());
  postgres = resources.use(await startPostgres());
  bus = resources.use(await nats.connect());
  await applyApp(bus, readFileSync(APP_FILE, "utf8"));
  config = {
    bus: nats.as("ingestion"),
    database: { url: postgres.url("ingestion"), schema: "ingestion", maxConnections: 4 },
    grpcAddress: "127.0.0.1:0",
    maxBatch: 200,
  };
  database = resources.use(await connectDatabase(config.database, silentLogger));
  await start();
  resources.defer(stop);
});

after(() => resources.disposeAsync());

async function start(): Promise<void> {
  stack = new AsyncDisposableStack();
  const address = await startIngestion(stack, config, {
    logger: silentLogger,
    fail: (error) => assert.fail(String(error)),
    clock: { now: () => NOW_MS },
  });
  log = connectRpc(EventLogService, address);
}

async function stop(): Promise<void> {
  log[Symbol.dispose]();
  await stack.disposeAsync();
}

let serial = 0;

const text = (value: string): Value => create(ValueSchema, { kind: { case: "stringValue", value } });
const number = (value: number): Value => create(ValueSchema, { kind: { case: "doubleValue", value } });

function scheduled(
  changes: Partial<Pick<Event, "id" | "app" | "type" | "schemaVersion" | "occurredAt">> = {},
  fields: Record<string, Value> = {},
): Event {
  serial += 1;
  return create(EventSchema, {
    id: `s${serial}`,
    app: APP,
    type: "flight.scheduled",
    occurredAt: timestampFromMs(START_MS + serial * 1_000),
    fields: {
      flight_id: text(`f${serial}`),
      origin: text("JFK"),
      destination: text("SFO"),
      distance: number(2_586),
      ...fields,
    },
    ...changes,
  });
}

let published = 0;

/** Publishes with an id of the message's own, so that the broker's window hides no duplicate. */
async function publish(event: Event, subject = eventSubject(event.app, event.type)): Promise<number> {
  return publishBytes(subject, toBinary(EventSchema, event));
}

async function publishBytes(subject: string, bytes: Uint8Array, headers?: Record<string, string>): Promise<number> {
  published += 1;
  const { seq } = await bus.publishBytes(subject, bytes, {
    id: `message${published}`,
    ...(headers ? { headers } : {}),
  });
  return seq;
}

/** Waits until everything that was published is settled. */
async function settled(): Promise<void> {
  await waitFor(async () => {
    const [consumer, stream] = await Promise.all([
      bus.manager.consumers.info("EVENTS", "ingestion-all"),
      bus.manager.streams.info("EVENTS"),
    ]);
    return consumer.ack_floor.stream_seq >= stream.state.last_seq;
  });
}

const counts = () => log.countEvents({ app: APP });

async function readLog(
  request: { types?: string[]; knownFromMs?: number; knownBeforeMs?: number } = {},
): Promise<AcceptedEvent[]> {
  const events: AcceptedEvent[] = [];
  const responses = log.readEvents({
    app: APP,
    types: request.types ?? [],
    ...(request.knownFromMs === undefined ? {} : { knownFrom: timestampFromMs(request.knownFromMs) }),
    ...(request.knownBeforeMs === undefined ? {} : { knownBefore: timestampFromMs(request.knownBeforeMs) }),
  });
  for await (const response of responses) events.push(...response.events);
  return events;
}

/** Everything on a stream, decoded or as it is. */
async function readStream(stream: string): Promise<JsMsg[]> {
  const { state } = await bus.manager.streams.info(stream);
  if (state.messages === 0) return [];
  const consumer = await bus.jetstream.consumers.get(stream, {});
  const messages: JsMsg[] = [];
  for await (const message of await consumer.consume()) {
    messages.push(message);
    if (message.seq >= state.last_seq) break;
  }
  return messages;
}

async function republished(): Promise<AcceptedEvent[]> {
  const messages = await readStream("ACCEPTED");
  return messages.flatMap(({ data }) => fromBinary(AcceptedEventsSchema, data).events);
}

test("a good event is in the log and on ACCEPTED, as it was sent", async () => {
  const event = scheduled();
  await publish(event);
  await settled();
  const [logged] = (await readLog()).filter((accepted) => accepted.event?.id === event.id);
  assert.deepEqual(logged?.event, event);
  assert.deepEqual(logged?.knownAt, event.occurredAt);
  const [sent] = (await republished()).filter((accepted) => accepted.event?.id === event.id);
  assert.deepEqual(sent, logged);
});

test("what is wrong with an event is named on REJECTED, in full, with the bytes as they came", async () => {
  const late = timestampFromMs(NOW_MS + 3_600_000);
  const cases: readonly [string, () => Promise<number>, readonly (readonly [string, string])[]][] = [
    [
      "malformed bytes",
      () => publishBytes(`events.${APP}.flight.scheduled`, Buffer.from([0xff, 1, 2])),
      [["event", "malformed"]],
    ],
    ["an unknown app", () => publish(scheduled({ app: "nobody" })), [["app", "unknown_app"]]],
    ["an unknown type", () => publish(scheduled({ type: "flight.lost" })), [["type", "unknown_event_type"]]],
    [
      "a subject of another app and type",
      () => publish(scheduled({ app: "other", type: "x" }), `events.${APP}.flight.scheduled`),
      [
        ["app", "subject_mismatch"],
        ["type", "subject_mismatch"],
      ],
    ],
    [
      "no id and no time",
      () => publish(scheduled({ id: "", occurredAt: undefined })),
      [
        ["id", "missing_id"],
        ["occurred_at", "missing_occurred_at"],
      ],
    ],
    ["a time in the future", () => publish(scheduled({ occurredAt: late })), [["occurred_at", "future_dated"]]],
    [
      "a time before 1970",
      () => publish(scheduled({ occurredAt: timestampFromMs(-1) })),
      [["occurred_at", "occurred_at_out_of_range"]],
    ],
    ["a newer schema", () => publish(scheduled({ schemaVersion: 9 })), [["schema_version", "unknown_schema_version"]]],
    [
      "three bad fields",
      () => publish(scheduled({}, { origin: text("jfk"), distance: number(7_000), flight_id: number(1) })),
      [
        ["fields.flight_id", "wrong_type"],
        ["fields.origin", "pattern_mismatch"],
        ["fields.distance", "field_out_of_range"],
      ],
    ],
    [
      "a missing field and a text that is too long",
      () => {
        const event = scheduled({}, { flight_id: text("x".repeat(65)) });
        delete event.fields["distance"];
        return publish(event);
      },
      [
        ["fields.flight_id", "too_long"],
        ["fields.distance", "missing_field"],
      ],
    ],
    [
      "NaN",
      () => publish(scheduled({}, { distance: number(Number.NaN) })),
      [["fields.distance", "field_out_of_range"]],
    ],
    [
      "another content type",
      () => publishBytes(`events.${APP}.flight.scheduled`, Buffer.from("a,b"), { "Content-Type": "text/csv" }),
      [["content-type", "unsupported_content_type"]],
    ],
  ];
  const before = await counts();
  const sequences = new Map<number, (typeof cases)[number]>();
  for (const one of cases) sequences.set(await one[1](), one);
  await settled();
  const rejected = await waitFor(async () => {
    const messages = await readStream("REJECTED");
    return messages.length >= cases.length && messages;
  });
  for (const [sequence, [name, , expected]] of sequences) {
    const found = rejected.filter(({ headers }) => headers?.get("Millrace-Sequence") === String(sequence));
    assert.equal(found.length, 1, name);
    const { headers, data } = found[0] as JsMsg;
    const violations = JSON.parse(headers?.get("Millrace-Violations") ?? "[]") as { field: string; reason: string }[];
    assert.deepEqual(
      violations.map(({ field, reason }) => [field, reason]),
      expected,
      name,
    );
    const original = await bus.manager.streams.getMessage("EVENTS", { seq: sequence });
    assert.deepEqual(Buffer.from(data), Buffer.from(original?.data ?? []), name);
    assert.equal(headers?.get("Millrace-Subject"), original?.subject, name);
  }
  const total = (rejected: Record<string, bigint>): bigint =>
    Object.values(rejected).reduce((sum, count) => sum + count, 0n);
  const { rejected: reasons } = await counts();
  // One of the cases belongs to another app.
  assert.equal(total(reasons) - total(before.rejected), BigInt(cases.length - 1));
  assert.equal(reasons["future_dated"], 1n);
});

test("a CloudEvent in JSON is the same event as in protobuf", async () => {
  const event = scheduled();
  const json = {
    specversion: "1.0",
    id: event.id,
    source: "/tower",
    type: event.type,
    time: new Date(timestampMs(event.occurredAt as never)).toISOString(),
    data: { flight_id: `f${serial}`, origin: "JFK", destination: "SFO", distance: 2_586 },
  };
  await publishBytes(eventSubject(APP, event.type), Buffer.from(JSON.stringify(json)), {
    "Content-Type": "application/cloudevents+json; charset=utf-8",
  });
  await settled();
  const logged = (await readLog()).find((accepted) => accepted.event?.id === event.id);
  assert.deepEqual(logged?.event, event);
});

test("a producer's duplicate is counted, and is in the log once", async () => {
  const before = await counts();
  const event = scheduled();
  await publish(event);
  await publish(event);
  await settled();
  await publish(event);
  await settled();
  const logged = (await readLog()).filter((accepted) => accepted.event?.id === event.id);
  assert.equal(logged.length, 1);
  assert.equal((await republished()).filter((accepted) => accepted.event?.id === event.id).length, 1);
  assert.equal((await counts()).duplicates - before.duplicates, 2n);
});

test("messages that the bus delivers again change nothing", async () => {
  await publish(scheduled({}, { origin: text("lower") }));
  const event = scheduled();
  await publish(event);
  await publish(event);
  await settled();
  const [before, logBefore, sentBefore] = [await counts(), await readLog(), await republished()];
  await stop();
  // The position is lost: everything comes once more.
  await bus.manager.consumers.delete("EVENTS", "ingestion-all");
  await start();
  await settled();
  const [afterwards, logAfter, sentAfter] = [await counts(), await readLog(), await republished()];
  assert.deepEqual(afterwards, before);
  assert.deepEqual(logAfter, logBefore);
  assert.deepEqual(sentAfter, sentBefore);
});

test("known_at never falls, and a late event is known when it came", async () => {
  const base = START_MS + 86_400_000;
  const offsets = [0, 60_000, -7_200_000, 30_000, 120_000];
  const events = offsets.map((offset) => scheduled({ occurredAt: timestampFromMs(base + offset) }));
  for (const event of events) await publish(event);
  await settled();
  const logged = await readLog();
  const times = logged.map(({ knownAt }) => timestampMs(knownAt as never));
  assert.deepEqual(
    times,
    times.toSorted((left, right) => left - right),
  );
  const sequences = logged.map(({ logSequence }) => logSequence);
  assert.deepEqual(
    sequences,
    sequences.toSorted((left, right) => (left < right ? -1 : 1)),
  );
  const own = events.map(({ id }) => logged.find(({ event }) => event?.id === id) as AcceptedEvent);
  assert.deepEqual(
    own.map(({ knownAt }) => timestampMs(knownAt as never) - base),
    [0, 60_000, 60_000, 60_000, 120_000],
  );
  assert.deepEqual(
    own.map(({ late }) => late),
    [false, false, true, false, false],
  );
  const page = await readLog({ knownFromMs: base + 60_000, knownBeforeMs: base + 120_000 });
  assert.deepEqual(page, own.slice(1, 4));
  assert.deepEqual(await readLog({ types: ["flight.landed"] }), []);
});

test("what was stored before a crash is published after it, once", async () => {
  await stop();
  // As a process leaves it that dies between the transaction and the publication: stored, in the outbox, not acknowledged.
  const lost = scheduled();
  await publish(lost);
  await nats.connect("ingestion").then(async (blocked) => {
    await using _ = blocked;
    const { AppDirectory } = await import("./appDirectory.ts");
    const { BatchWriter } = await import("./batchWriter.ts");
    const { Partitions } = await import("./partitions.ts");
    const { checkEvent } = await import("./checkedEvent.ts");
    const { getApp } = await import("@millrace/app");
    const apps = new AppDirectory(() => getApp(blocked, APP));
    await apps.refresh(APP, NOW_MS);
    const { state } = await bus.manager.streams.info("EVENTS");
    const raw = {
      subject: eventSubject(APP, lost.type),
      data: toBinary(EventSchema, lost),
      contentType: "",
      traceparent: "",
      streamSequence: state.last_seq,
    };
    await new BatchWriter(database, new Partitions(database)).store([checkEvent(raw, apps, NOW_MS)], () => "");
  });
  const count = async () => (await republished()).filter((accepted) => accepted.event?.id === lost.id).length;
  assert.equal(await count(), 0);
  const duplicates = async () => (await counts()).duplicates;
  await start();
  const before = await duplicates();
  await settled();
  assert.equal(await count(), 1);
  assert.equal(await duplicates(), before);
  await waitFor(async () => (await counts()).unpublished === 0n);
  // And once more, as after a death between publication and acknowledgement.
  await stop();
  await bus.manager.consumers.delete("EVENTS", "ingestion-all");
  await start();
  await settled();
  assert.equal(await count(), 1);
  assert.equal(await duplicates(), before);
});

test("an app that was never applied has no log", async () => {
  await assert.rejects(async () => log.countEvents({ app: "nobody" }), /There is no app "nobody"/);
});
