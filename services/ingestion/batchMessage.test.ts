import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { JsMsg } from "@millrace/bus";
import { type Event, EventSchema, EventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { waitFor } from "@millrace/test-harness";
import type { CheckedEvent } from "./checkedEvent.ts";
import { brokenBy, check, checkRejected, SUBJECT } from "./checkForTests.ts";
import { MAX_EVENT_BYTES, MAX_EVENTS_PER_MESSAGE } from "./eventLimits.ts";
import { number, scheduled, TestIngestion, text } from "./ingestionForTests.ts";
import { splitJsonArray } from "./jsonArray.ts";

const PROTOBUF = { "Content-Type": "application/protobuf; proto=millrace.event.v1.Events" };
const JSON_BATCH = { "Content-Type": "application/cloudevents-batch+json" };

const protobufBatch = (events: Event[]): Uint8Array => toBinary(EventsSchema, create(EventsSchema, { events }));

/** An event as a CloudEvent. */
const cloudEvent = ({ id, type, occurredAt, fields }: Event): object => ({
  specversion: "1.0",
  id,
  source: "/test",
  type,
  ...(occurredAt === undefined ? {} : { time: timestampDate(occurredAt).toISOString() }),
  data: Object.fromEntries(Object.entries(fields).map(([name, { kind }]) => [name, kind.value])),
});

const jsonBatch = (events: readonly Event[]): string =>
  ` [${events.map((event) => JSON.stringify(cloudEvent(event))).join()}]\n`;

/** Of each event: its place and what became of it. */
const fates = (checked: readonly CheckedEvent[]): string[] =>
  checked.map((event) =>
    [event.raw.place, event.kind === "rejected" ? brokenBy(event).join(", ") : event.kind].join(" "),
  );

const good = scheduled();
const bad = scheduled({}, { origin: text("jfk"), distance: number(-1) });
const alsoGood = scheduled();
const ORIGIN_AND_DISTANCE = "fields.origin pattern_mismatch, fields.distance field_out_of_range";

test("each event of a message is judged on its own, in every format", () => {
  const expected = ["0 valid", `1 ${ORIGIN_AND_DISTANCE}`, "2 valid"];
  const events = [good, bad, alsoGood];
  assert.deepEqual(fates(check({ data: protobufBatch(events), headers: PROTOBUF })), expected);
  assert.deepEqual(fates(check({ data: jsonBatch(events), headers: JSON_BATCH })), expected);
});

test("an event of a message that is sent again alone meets the same fate", () => {
  for (const [data, headers] of [
    [protobufBatch([good, bad]), PROTOBUF],
    [jsonBatch([good, bad]), JSON_BATCH],
  ] as const) {
    for (const event of check({ data, headers })) {
      const { raw } = event;
      const [again] = check({ data: raw.data, headers: { "Content-Type": raw.contentType } });
      assert.equal(again?.kind, event.kind);
      if (again?.kind === "rejected" && event.kind === "rejected") assert.deepEqual(again.violations, event.violations);
      if (again?.kind === "valid" && event.kind === "valid") assert.deepEqual(again.bytes, event.bytes);
    }
  }
});

test("bytes that are no event spoil none of the others", () => {
  const sized = (bytes: Uint8Array): Buffer => Buffer.concat([Buffer.from([0x0a, bytes.length]), bytes]);
  const events = [toBinary(EventSchema, good), Buffer.from([0xff, 1, 2]), toBinary(EventSchema, alsoGood)];
  const data = Buffer.concat(events.map(sized));
  assert.deepEqual(fates(check({ data, headers: PROTOBUF })), ["0 valid", "1 event malformed", "2 valid"]);
  const json = `[${JSON.stringify(cloudEvent(good))}, {"id": nothing}, 7, ${JSON.stringify(cloudEvent(alsoGood))}]`;
  const expected = ["0 valid", "1 event malformed", "2 event malformed", "3 valid"];
  assert.deepEqual(fates(check({ data: json, headers: JSON_BATCH })), expected);
});

const WHOLE: Readonly<
  Record<string, readonly [data: Uint8Array | string, headers: Record<string, string>, expected: string]>
> = {
  "no protobuf": [Buffer.from([0x0a, 0x7f, 1]), PROTOBUF, "event malformed"],
  "no protobuf events": [new Uint8Array(), PROTOBUF, "events empty_batch"],
  "no JSON events": ["[ ]", JSON_BATCH, "events empty_batch"],
  "an object, not a list": ["{}", JSON_BATCH, "event malformed"],
  "a list without an end": ['[{"id":"]"}', JSON_BATCH, "event malformed"],
  "something after the list": ["[{}]]", JSON_BATCH, "event malformed"],
  "a list that ends as an object": ["[{}}", JSON_BATCH, "event malformed"],
  "another message": [
    new Uint8Array(),
    { "Content-Type": "application/protobuf; proto=millrace.event.v1.AcceptedEvents" },
    "content-type unsupported_content_type",
  ],
  "too many events": [
    `[${Array.from({ length: MAX_EVENTS_PER_MESSAGE + 1 }, () => "{}").join()}]`,
    JSON_BATCH,
    "events too_many_events",
  ],
};

for (const [name, [data, headers, expected]] of Object.entries(WHOLE)) {
  test(`a message with several events is rejected as a whole: ${name}`, () => {
    const rejected = checkRejected({ data, headers });
    assert.deepEqual(brokenBy(rejected), [expected]);
    assert.equal(rejected.raw.isPart, undefined);
    assert.deepEqual(Buffer.from(rejected.raw.data), Buffer.from(data as string));
  });
}

test("as many events as a message may have are taken", () => {
  const events = Array.from({ length: MAX_EVENTS_PER_MESSAGE }, () => scheduled());
  const checked = check({ data: protobufBatch(events), headers: PROTOBUF });
  assert.ok(checked.length === events.length && checked.every(({ kind }) => kind === "valid"));
});

test("limits of an event: bytes, fields, names, nesting; each with a reason of its own", () => {
  const json = (data: string): string =>
    JSON.stringify({ ...cloudEvent(good), data: "DATA" }).replace(
      '"DATA"',
      `{"flight_id":"f","origin":"JFK","destination":"SFO","distance":9,${data}}`,
    );
  const fate = (data: string): string[] =>
    fates(check({ data: json(data), headers: { "Content-Type": "application/cloudevents+json" } }));
  const nested = (depth: number): string => `"deep":${"[".repeat(depth)}${"]".repeat(depth)}`;
  const fields = (count: number): string => Array.from({ length: count }, (_, index) => `"x${index}":1`).join(",");
  assert.deepEqual(fate(nested(16)), ["0 valid"]);
  assert.deepEqual(fate(nested(17)), ["0 fields.deep nested_too_deeply"]);
  assert.deepEqual(fate(nested(200_000)), ["0 fields.deep nested_too_deeply"]);
  assert.deepEqual(fate(fields(996)), ["0 valid"]);
  assert.deepEqual(fate(fields(997)), ["0 fields too_many_fields"]);
  assert.deepEqual(fate(`"${"x".repeat(128)}":1`), ["0 valid"]);
  assert.deepEqual(fate(`"${"x".repeat(129)}":1`), [`0 fields.${"x".repeat(129)} bad_field_name`]);
  assert.deepEqual(fate('"a\\u0000":1'), ["0 fields.a\ufffd bad_field_name"]);
  assert.deepEqual(fate(`"long":"${"x".repeat(MAX_EVENT_BYTES)}"`), ["0 event too_large"]);
  const large = scheduled({}, { note: text("x".repeat(MAX_EVENT_BYTES)) });
  const batch = check({ data: protobufBatch([good, large]), headers: PROTOBUF });
  assert.deepEqual(fates(batch), ["0 valid", "1 event too_large"]);
});

test("a JSON list is cut where JSON.parse would cut it", () => {
  const elements = ['{"a":"],[\\"","b":[1,{}]}', "1.50", '"x,\\\\"', "[[],[ ]]", "null", "12345678901234567890"];
  for (const separator of [",", " ,\n", "\t, "]) {
    const list = ` [ ${elements.join(separator)} ]\r\n`;
    assert.equal((JSON.parse(list) as unknown[]).length, elements.length);
    assert.deepEqual(splitJsonArray(Buffer.from(list))?.map(String), elements);
  }
  for (const bytes of ["", "[", "]", "{}", '["]', "[1]2", "x"]) {
    assert.equal(splitJsonArray(Buffer.from(bytes)), undefined, bytes);
  }
});

const violationsOf = ({ headers }: JsMsg): { field: string; reason: string }[] =>
  JSON.parse(headers?.get("Millrace-Violations") ?? "[]") as { field: string; reason: string }[];

test("through ingestion: the good events of a message count, each bad one lands on REJECTED on its own, once", async () => {
  await using ingestion = await TestIngestion.start();
  const second = scheduled({}, { origin: text("lax") });
  const messages = [
    await ingestion.publishBytes(SUBJECT, protobufBatch([good, bad, alsoGood]), { ...PROTOBUF, "X-Producer": "p1" }),
    await ingestion.publishBytes(SUBJECT, Buffer.from(jsonBatch([scheduled(), second])), JSON_BATCH),
  ];
  await ingestion.settled();
  const rejected = (): Promise<JsMsg[]> => ingestion.readStream("REJECTED");
  // Published before the acknowledgement: they are there as soon as the messages are settled.
  const found = await rejected();
  const headersOf = ({ headers }: JsMsg): (string | undefined)[] =>
    ["Subject", "Stream", "Sequence", "Place"].map((name) => headers?.get(`Millrace-${name}`));
  const sequenceOf = (message: JsMsg): number => Number(headersOf(message)[2]);
  const inOrder = found.toSorted((left, right) => sequenceOf(left) - sequenceOf(right));
  assert.deepEqual(inOrder.map(headersOf), [
    [SUBJECT, "EVENTS", String(messages[0]), "1"],
    [SUBJECT, "EVENTS", String(messages[1]), "1"],
  ]);
  const [protobuf, json] = inOrder as [JsMsg, JsMsg];
  assert.equal(protobuf.headers?.get("Content-Type"), "application/protobuf");
  assert.equal(protobuf.headers?.get("X-Producer"), "p1");
  assert.deepEqual(fromBinary(EventSchema, protobuf.data), bad);
  assert.equal(json.headers?.get("Content-Type"), "application/cloudevents+json");
  assert.deepEqual(JSON.parse(json.string()), cloudEvent(second));
  const reasons = violationsOf(protobuf).map(({ field, reason }) => `${field} ${reason}`);
  assert.equal(reasons.join(", "), ORIGIN_AND_DISTANCE);

  const state = async (): Promise<unknown> => [
    await ingestion.counts(),
    (await ingestion.readLog()).map(({ event }) => event?.id),
    (await rejected()).length,
  ];
  const before = await state();
  assert.deepEqual((await ingestion.counts()).accepted, { "flight.scheduled": 3n });
  assert.deepEqual((await ingestion.counts()).rejected, { pattern_mismatch: 2n });
  await ingestion.restartFromTheBeginning();
  assert.deepEqual(await state(), before);
});

test("through ingestion: a CloudEvent in binary mode is taken, and kept with its attributes when it is rejected", async () => {
  await using ingestion = await TestIngestion.start();
  const headers = {
    "ce-specversion": "1.0",
    "ce-id": "caf%C3%A9",
    "ce-source": "/test",
    "ce-type": "flight.scheduled",
    "ce-time": "2001-01-10T00:00:00.000000007Z",
  };
  const fields = { flight_id: "f", origin: "JFK", destination: "SFO", distance: 9 };
  await ingestion.publishBytes(SUBJECT, Buffer.from(JSON.stringify(fields)), headers);
  await ingestion.publishBytes(SUBJECT, Buffer.from(JSON.stringify({ ...fields, origin: "jfk" })), headers);
  await ingestion.settled();
  const [event, ...others] = await ingestion.readLog();
  assert.deepEqual([others.length, event?.event?.id, event?.event?.occurredAt?.nanos], [0, "café", 7]);
  const [rejected] = await waitFor(async () => {
    const found = await ingestion.readStream("REJECTED");
    return found.length > 0 && found;
  });
  for (const [name, value] of Object.entries(headers)) assert.equal(rejected?.headers?.get(name), value);
});

test("a message with more headers than there is room for beside the reasons is rejected all the same", async () => {
  await using ingestion = await TestIngestion.start();
  // As much as JetStream takes.
  const headers = Object.fromEntries(Array.from({ length: 30 }, (_, index) => [`X-${index}`, "é".repeat(1_000)]));
  await ingestion.publishBytes(SUBJECT, Buffer.alloc(960_000, 1), headers);
  await ingestion.settled();
  const [rejected] = await ingestion.readStream("REJECTED");
  assert.equal(rejected?.headers?.get("Millrace-Omitted-Headers"), "25");
  assert.equal(rejected?.headers?.get("X-4"), "é".repeat(1_000));
  assert.equal(rejected?.data.length, 960_000);
});
