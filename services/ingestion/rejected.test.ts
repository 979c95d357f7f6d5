import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { applyApp } from "@millrace/app";
import type { JsMsg } from "@millrace/bus";
import type { Event } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { APP, FLIGHTS, NOW_MS, number, scheduled, TestIngestion, text } from "./ingestionForTests.ts";

let ingestion: TestIngestion;
before(async () => {
  ingestion = await TestIngestion.start();
});
after(() => ingestion[Symbol.asyncDispose]());

type Broken = readonly (readonly [field: string, reason: string])[];

const SUBJECT = `events.${APP}.flight.scheduled`;

/** The rejection of the message at a place in EVENTS. */
async function rejection(sequence: number): Promise<JsMsg> {
  await ingestion.settled();
  const found = await waitFor(async () => {
    const messages = await ingestion.readStream("REJECTED");
    const own = messages.filter(({ headers }) => headers?.get("Millrace-Sequence") === String(sequence));
    return own.length > 0 && own;
  });
  assert.equal(found.length, 1);
  return found[0] as JsMsg;
}

const violationsOf = ({ headers }: JsMsg): { field: string; reason: string; description: string }[] =>
  JSON.parse(headers?.get("Millrace-Violations") ?? "[]") as { field: string; reason: string; description: string }[];

function withoutField(event: Event, name: string): Event {
  delete event.fields[name];
  return event;
}

const CASES: Readonly<Record<string, readonly [publish: () => Promise<number>, broken: Broken]>> = {
  "bytes that are no event": [
    () => ingestion.publishBytes(SUBJECT, Buffer.from([0xff, 1, 2])),
    [["event", "malformed"]],
  ],
  "no bytes at all": [
    () => ingestion.publishBytes(SUBJECT, new Uint8Array()),
    [
      ["id", "missing_id"],
      ["app", "subject_mismatch"],
      ["type", "subject_mismatch"],
      ["occurred_at", "missing_occurred_at"],
      ["fields.destination", "missing_field"],
      ["fields.distance", "missing_field"],
      ["fields.flight_id", "missing_field"],
      ["fields.origin", "missing_field"],
    ],
  ],
  "an unknown app": [() => ingestion.publish(scheduled({ app: "nobody" })), [["app", "unknown_app"]]],
  "an unknown type": [() => ingestion.publish(scheduled({ type: "flight.lost" })), [["type", "unknown_event_type"]]],
  "a type that JavaScript knows": [
    () => ingestion.publish(scheduled({ type: "constructor" })),
    [["type", "unknown_event_type"]],
  ],
  "another app and type than the subject's": [
    () => ingestion.publish(scheduled({ app: "other", type: "x" }), SUBJECT),
    [
      ["app", "subject_mismatch"],
      ["type", "subject_mismatch"],
    ],
  ],
  "neither id nor time": [
    () => ingestion.publish(scheduled({ id: "", occurredAt: undefined })),
    [
      ["id", "missing_id"],
      ["occurred_at", "missing_occurred_at"],
    ],
  ],
  "an id with a line break": [() => ingestion.publish(scheduled({ id: "a\r\nb" })), [["id", "bad_id"]]],
  "an id that is too long": [() => ingestion.publish(scheduled({ id: "x".repeat(257) })), [["id", "bad_id"]]],
  "a time in the future": [
    () => ingestion.publish(scheduled({ occurredAt: timestampFromMs(NOW_MS + 3_600_000) })),
    [["occurred_at", "future_dated"]],
  ],
  "a time before 1970": [
    () => ingestion.publish(scheduled({ occurredAt: timestampFromMs(-1) })),
    [["occurred_at", "occurred_at_out_of_range"]],
  ],
  "a newer schema": [
    () => ingestion.publish(scheduled({ schemaVersion: 9 })),
    [["schema_version", "unknown_schema_version"]],
  ],
  "three bad fields": [
    () => ingestion.publish(scheduled({}, { origin: text("jfk"), distance: number(7_000), flight_id: number(1) })),
    [
      ["fields.distance", "field_out_of_range"],
      ["fields.flight_id", "wrong_type"],
      ["fields.origin", "pattern_mismatch"],
    ],
  ],
  "a missing field, and a text that is too long": [
    () => ingestion.publish(withoutField(scheduled({}, { flight_id: text("x".repeat(65)) }), "distance")),
    [
      ["fields.distance", "missing_field"],
      ["fields.flight_id", "too_long"],
    ],
  ],
  NaN: [
    () => ingestion.publish(scheduled({}, { distance: number(Number.NaN) })),
    [["fields.distance", "field_out_of_range"]],
  ],
  "a line break and an emoji in a text": [
    () => ingestion.publish(scheduled({}, { origin: text("J\r\n😀\u0000") })),
    [["fields.origin", "pattern_mismatch"]],
  ],
  "another content type": [
    () => ingestion.publishBytes(SUBJECT, Buffer.from("a,b"), { "Content-Type": "text/csv" }),
    [["content-type", "unsupported_content_type"]],
  ],
  "JSON that is no CloudEvent": [
    () => ingestion.publishBytes(SUBJECT, Buffer.from("[]"), { "Content-Type": "application/cloudevents+json" }),
    [["event", "malformed"]],
  ],
  "text that is no JSON": [
    () => ingestion.publishBytes(SUBJECT, Buffer.from("{"), { "Content-Type": "application/cloudevents+json" }),
    [["event", "malformed"]],
  ],
  "an event that is too large": [
    () => ingestion.publishBytes(SUBJECT, Buffer.alloc(600_000, 1)),
    [["event", "too_large"]],
  ],
};

for (const [name, [publish, broken]] of Object.entries(CASES)) {
  test(`${name}: REJECTED holds the message as it came, with every rule that it broke`, async () => {
    const sequence = await publish();
    const rejected = await rejection(sequence);
    const violations = violationsOf(rejected);
    const sorted = (pairs: Broken): string[] => pairs.map((pair) => pair.join(" ")).sort();
    assert.deepEqual(sorted(violations.map(({ field, reason }) => [field, reason])), sorted(broken));
    for (const { description } of violations)
      assert.ok(rejected.headers?.get("Millrace-Reason").includes(description.replace(/[\r\n]+/g, " ")));
    const original = await ingestion.bus.manager.streams.getMessage("EVENTS", { seq: sequence });
    assert.ok(Buffer.from(rejected.data).equals(Buffer.from(original?.data ?? [])));
    assert.equal(rejected.headers?.get("Millrace-Subject"), original?.subject);
    assert.equal(rejected.headers?.get("Content-Type"), original?.header.get("Content-Type"));
  });
}

test("a rejected event is counted once, under its first reason, however often it is delivered", async () => {
  const before = await ingestion.counts();
  await ingestion.publish(scheduled({}, { origin: text("x"), distance: number(-1) }));
  await ingestion.settled();
  const once = await ingestion.counts();
  const total = (counts: typeof before): bigint =>
    Object.values(counts.rejected).reduce((sum, count) => sum + count, 0n);
  assert.equal(total(once) - total(before), 1n);
  await ingestion.restartFromTheBeginning();
  assert.deepEqual(await ingestion.counts(), once);
});

test("a message as large as the broker takes is rejected all the same, without its bytes", async () => {
  const limit = ingestion.bus.connection.info?.max_payload as number;
  const rejected = await rejection(await ingestion.publishBytes(SUBJECT, Buffer.alloc(limit - 500, 1)));
  assert.deepEqual(
    violationsOf(rejected).map(({ reason }) => reason),
    ["too_large"],
  );
  assert.equal(rejected.headers?.get("Millrace-Omitted-Bytes"), String(limit - 500));
  assert.equal(rejected.data.length, 0);
});

test("fields that the schema does not name are kept, dropped or rejected, as the app says", async () => {
  const stored = async (): Promise<string[] | undefined> => {
    const event = scheduled({}, { gate: text("B4") });
    await ingestion.publish(event);
    await ingestion.settled();
    const found = (await ingestion.readLog()).find((accepted) => accepted.event?.id === event.id);
    return found && Object.keys(found.event?.fields ?? {}).sort();
  };
  const named = ["destination", "distance", "flight_id", "origin"];
  assert.deepEqual(await stored(), [...named, "gate"].sort());
  await applyApp(ingestion.bus, FLIGHTS.replace("unknown_fields: KEEP", "unknown_fields: DROP"));
  await waitFor(async () => (await stored())?.length === 4);
  assert.deepEqual(await stored(), named);
  await applyApp(ingestion.bus, FLIGHTS.replace("unknown_fields: KEEP", "unknown_fields: REJECT"));
  await waitFor(async () => (await stored()) === undefined);
  const rejected = await rejection(
    await ingestion.publish(scheduled({}, { gate: text("B4"), pilot: text("x".repeat(5_000)) })),
  );
  assert.deepEqual(
    violationsOf(rejected)
      .map(({ field, reason }) => `${field} ${reason}`)
      .sort(),
    ["fields.gate unknown_field", "fields.pilot unknown_field"],
  );
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`unknown_${index}`, number(index)]));
  const { headers } = await rejection(await ingestion.publish(scheduled({}, { origin: text("jfk"), ...many })));
  const told = JSON.parse(headers?.get("Millrace-Violations") ?? "") as unknown[];
  assert.ok(told.length > 10);
  assert.equal(headers?.get("Millrace-Omitted-Violations"), String(501 - told.length));
  assert.equal(headers?.get("Millrace-Reasons"), "pattern_mismatch,unknown_field");
});

test("what the app calls noise is dropped, and counted", async () => {
  await applyApp(ingestion.bus, FLIGHTS.replace("unknown_fields: KEEP", "drop: \"event.origin == 'TST'\""));
  await waitFor(async () => {
    await ingestion.publish(scheduled({}, { origin: text("TST") }));
    await ingestion.settled();
    return (await ingestion.counts()).dropped > 0n;
  });
  const before = await ingestion.counts();
  await ingestion.publish(scheduled({}, { origin: text("TST") }));
  await ingestion.publish(scheduled({}, { origin: text("JFK") }));
  await ingestion.settled();
  const counts = await ingestion.counts();
  assert.equal(counts.dropped - before.dropped, 1n);
  assert.equal((counts.accepted["flight.scheduled"] ?? 0n) - (before.accepted["flight.scheduled"] ?? 0n), 1n);
});

test("an app that was applied a moment ago is known", async () => {
  await applyApp(ingestion.bus, FLIGHTS.replace("app: flight-delays", "app: other-flights"));
  const event = scheduled({ app: "other-flights" });
  await ingestion.publish(event);
  await ingestion.settled();
  assert.deepEqual((await ingestion.counts("other-flights")).accepted, { "flight.scheduled": 1n });
});
