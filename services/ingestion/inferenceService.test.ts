import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { EventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import {
  type InferSchemaRequestSchema,
  type InferSchemaResponse,
  SchemaInferenceService,
} from "@millrace/proto/millrace/ingestion/v1/schema_inference_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { number, scheduled, TestIngestion } from "./ingestionForTests.ts";
import { lineOf } from "./sampleForTests.ts";

let ingestion: TestIngestion;
before(async () => {
  ingestion = await TestIngestion.start();
});
after(() => ingestion[Symbol.asyncDispose]());

type Source = NonNullable<MessageInitShape<typeof InferSchemaRequestSchema>["source"]>;

/** The last answer. */
async function infer(source: Source): Promise<InferSchemaResponse> {
  using service = connectRpc(SchemaInferenceService, ingestion.address);
  let last: InferSchemaResponse | undefined;
  for await (const response of service.inferSchema({ source })) last = response;
  assert.ok(last !== undefined);
  return last;
}

const fromStream = (app: string, type = "", maxEvents = 0) =>
  infer({ case: "stream", value: { app, type, maxEvents } });

/** Publishes messages of several events each, all at once. */
async function publish(app: string, type: string, messages: number, distance: number): Promise<void> {
  await Promise.all(
    Array.from({ length: messages }, async () => {
      const events = Array.from({ length: 10 }, () => scheduled({ app, type }, { distance: number(distance) }));
      await ingestion.publishBytes(`events.${app}.${type}`, toBinary(EventsSchema, create(EventsSchema, { events })), {
        "Content-Type": "application/protobuf; proto=millrace.event.v1.Events",
      });
    }),
  );
}

test("the newest events of an app that was never applied are found among those of others, however far back they are", async () => {
  await publish("shop", "order.placed", 20, 1);
  await publish("shop", "order.placed", 3, 90);
  await publish("shop", "order.paid", 2, 7);
  // More than the shortest stretch that is read at once.
  await publish("other", "noise", 1_500, 5);
  await publish("shop", "order.placed", 1, 95);
  await publish("other", "noise", 1_200, 5);
  const all = await fromStream("shop");
  assert.equal(all.events, 260n);
  assert.match(all.yaml, /from 260 events: the newest 26 of 26 messages on events\.shop\.>/);
  assert.match(all.yaml, /order\.paid: # 20 events\n[^]*order\.placed: # 240 events/);
  assert.doesNotMatch(all.yaml, /noise/);
  // It begins at the app's last message, not at the stream's, and ends when all are found.
  assert.ok(all.messages > 1_500n && all.messages < 1_600n, String(all.messages));

  const newest = await fromStream("shop", "order.placed", 40);
  assert.equal(newest.events, 40n);
  assert.match(newest.yaml, /the newest 4 of 24 messages on events\.shop\.order\.placed/);
  assert.match(newest.yaml, /distance: .*# 40 of 40; 2 different; 90 to 95/);
  assert.doesNotMatch(newest.yaml, /order\.paid/);
});

test("nothing is left behind: the consumers that read a stretch are gone", async () => {
  await publish("gone", "order.placed", 1, 1);
  await fromStream("gone");
  const consumers = [];
  for await (const { name } of ingestion.bus.manager.consumers.list("EVENTS")) consumers.push(name);
  assert.deepEqual(consumers, ["ingestion-all"]);
});

const REFUSED: Readonly<Record<string, readonly [source: Source, code: string, message: RegExp]>> = {
  "no events": [
    { case: "stream", value: { app: "nobody" } },
    "not_found",
    /EVENTS has no message on events\.nobody\.>: point a producer at it/,
  ],
  "no such type": [
    { case: "stream", value: { app: "nobody", type: "a.b" } },
    "not_found",
    /EVENTS has no message on events\.nobody\.a\.b/,
  ],
  "an app that is a wildcard": [
    { case: "stream", value: { app: "*" } },
    "invalid_argument",
    /app must be .*, not "\*"/,
  ],
  "a type that is a wildcard": [
    { case: "stream", value: { app: "a", type: "b.>" } },
    "invalid_argument",
    /type must be .*, not "b\.>"/,
  ],
  "too many events": [
    { case: "stream", value: { app: "a", maxEvents: 100_001 } },
    "invalid_argument",
    /max_events must be at most 100000, not 100001/,
  ],
  "fields without a type": [
    { case: "events", value: { json: [Buffer.from('{"a":1}')] } },
    "invalid_argument",
    /event 1 is no CloudEvent .* --type/,
  ],
  "nothing given": [{ case: "events", value: {} }, "not_found", /No event could be read among 0 given events/],
  "only what cannot be read": [
    { case: "events", value: { json: [Buffer.from("{"), Buffer.from("[]")] } },
    "not_found",
    /No event could be read among 2 given events: event malformed 2/,
  ],
};

for (const [name, [source, code, message]] of Object.entries(REFUSED)) {
  test(`a request is refused with what to do: ${name}`, async () => {
    await assert.rejects(infer(source), { code, message });
  });
}

test("messages that are no events are told", async () => {
  await ingestion.publishBytes("events.broken.a", Buffer.from([0xff, 1, 2]));
  await assert.rejects(fromStream("broken"), {
    code: "not_found",
    message: /No event could be read among the newest 1 of 1 messages on events\.broken\.>: event malformed 1/,
  });
});

test("given events: CloudEvents as they are, and fields with the type and the time that are named", async () => {
  const cloudEvent = { specversion: "1.0", id: "1", source: "/s", type: "order.paid", time: "2001-01-10T00:00:00Z" };
  const json = Array.from({ length: 60 }, (_, index) =>
    JSON.stringify(
      index % 2 === 0
        ? { ...cloudEvent, data: { amount: index + 0.5 } }
        : { amount: index, at: "2001-01-10T00:00:00Z", state: "new" },
    ),
  ).map((text) => Buffer.from(text));
  const { yaml, events } = await infer({ case: "events", value: { json, type: "order.placed", timeField: "at" } });
  assert.equal(events, 60n);
  assert.equal(lineOf(yaml, "amount"), "type: DOUBLE, required: true, min: 0, max: 120");
  assert.match(yaml, /order\.placed: # 30 events\n.*\n.*\n +amount: \{ type: INT64.*\n +state: [^\n]*\n/);
  assert.doesNotMatch(yaml, / at: \{|Rejected whatever/);
  const withoutTime = await infer({ case: "events", value: { json, type: "order.placed", timeField: "when" } });
  assert.match(withoutTime.yaml, /Rejected whatever the schema says: occurred_at missing_occurred_at 30\./);
});

test("a request holds 16 MiB of events", async () => {
  const event = Buffer.from(JSON.stringify({ note: "x".repeat(400_000) }));
  const json = Array.from({ length: 40 }, () => event);
  const { events } = await infer({ case: "events", value: { json, type: "a" } });
  assert.equal(events, 40n);
});
