import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { appsOf, brokenBy, check, checkRejected, checkValid, type TestMessage } from "./checkForTests.ts";
import { FLIGHTS, START_MS } from "./ingestionForTests.ts";

const FIELDS = { flight_id: "f1", origin: "JFK", destination: "SFO", distance: 2_586 };

const CLOUD_EVENT = {
  specversion: "1.0",
  id: "e1",
  source: "/airport/jfk",
  type: "flight.scheduled",
  time: "2001-01-10T00:00:00Z",
  data: FIELDS,
};

const structured = (changes: object = {}): TestMessage => ({
  data: JSON.stringify({ ...CLOUD_EVENT, ...changes }),
  headers: { "Content-Type": "application/cloudevents+json; charset=UTF-8" },
});

const BINARY = {
  "ce-specversion": "1.0",
  "ce-id": "e1",
  "ce-source": "/airport/jfk",
  "ce-type": "flight.scheduled",
  "ce-time": "2001-01-10T00:00:00Z",
  "Content-Type": "application/json",
};

const binary = (changes: Readonly<Record<string, string | undefined>> = {}, data: unknown = FIELDS): TestMessage => {
  const headers = Object.entries({ ...BINARY, ...changes }).filter((entry) => entry[1] !== undefined);
  return { data: JSON.stringify(data), headers: Object.fromEntries(headers) as Record<string, string> };
};

test("a CloudEvent is the same event in structured and in binary mode", () => {
  const [first, second] = [checkValid(structured()), checkValid(binary())];
  assert.deepEqual(first.event, second.event);
  assert.deepEqual(first.bytes, second.bytes);
  assert.equal(first.id, "e1");
  assert.equal(first.occurredAtSeconds, START_MS / 1_000);
  assert.deepEqual(first.event.fields["distance"]?.kind, { case: "doubleValue", value: 2_586 });
});

test("headers are told whatever their case, and the content type whatever its case and parameters", () => {
  const loud = Object.fromEntries(Object.entries(BINARY).map(([name, value]) => [name.toUpperCase(), value]));
  assert.equal(checkValid({ data: JSON.stringify(FIELDS), headers: loud }).id, "e1");
  for (const contentType of ["Application/CloudEvents+JSON", "application/cloudevents"]) {
    assert.equal(checkValid({ ...structured(), headers: { "content-type": contentType } }).id, "e1");
  }
});

test("binary mode: the data's type is told by ce-datacontenttype, or by Content-Type, or is JSON", () => {
  for (const changes of [
    { "Content-Type": undefined },
    { "Content-Type": "application/vnd.airport.flight+json; charset=utf-8" },
    { "Content-Type": "text/plain", "ce-datacontenttype": "application/json" },
  ]) {
    assert.equal(checkValid(binary(changes)).id, "e1");
  }
  for (const changes of [{ "Content-Type": "application/protobuf" }, { "Content-Type": "text/xml" }]) {
    assert.deepEqual(brokenBy(checkRejected(binary(changes))), ["content-type unsupported_content_type"]);
  }
  const xml = checkRejected(binary({ "ce-datacontenttype": "text/xml" }));
  assert.deepEqual(brokenBy(xml), ["datacontenttype unsupported_content_type"]);
});

test("header values are percent-decoded once, and unquoted", () => {
  const idOf = (id: string): string => checkValid(binary({ "ce-id": id })).id;
  assert.equal(idOf("Euro%20%E2%82%AC%20%f0%9f%98%80"), "Euro € 😀");
  assert.equal(idOf("100%2525"), "100%25");
  assert.equal(idOf("100%"), "100%");
  assert.equal(idOf("5%20%"), "5 %");
  assert.equal(idOf('"say \\"hi\\""'), 'say "hi"');
  // An overlong form of the space.
  assert.deepEqual(brokenBy(checkRejected(binary({ "ce-id": "%C0%A0" }))), ["id malformed"]);
});

test("every required attribute that is missing is named", () => {
  const none = { specversion: undefined, id: "", source: null, type: undefined, time: undefined };
  const broken = [
    "specversion missing_attribute",
    "source missing_attribute",
    "type missing_attribute",
    "id missing_id",
    "occurred_at missing_occurred_at",
  ];
  assert.deepEqual(brokenBy(checkRejected(structured(none))), broken);
  const headers = { "ce-specversion": undefined, "ce-source": undefined, "ce-type": undefined, "ce-time": undefined };
  assert.deepEqual(brokenBy(checkRejected(binary({ ...headers, "ce-id": "" }))), broken);
});

const BROKEN: Readonly<Record<string, readonly [changes: object, broken: readonly string[]]>> = {
  "another version of CloudEvents": [{ specversion: "0.3" }, ["specversion unsupported_version"]],
  "an id that is a number": [{ id: 7 }, ["id wrong_type"]],
  "a source that is a list": [{ source: [] }, ["source wrong_type"]],
  "a time that is none": [{ time: "yesterday" }, ["time wrong_type"]],
  "a day that February does not have": [{ time: "2001-02-29T00:00:00Z" }, ["time wrong_type"]],
  "a time without an offset": [{ time: "2001-02-03T04:05:06" }, ["time wrong_type"]],
  "a schema version that is no number": [{ schemaversion: "new" }, ["schemaversion wrong_type"]],
  "a schema version that is not known": [{ schemaversion: 9 }, ["schema_version unknown_schema_version"]],
  "data that is XML": [
    { datacontenttype: "text/xml", data: "<x/>" },
    ["datacontenttype unsupported_content_type", "data malformed"],
  ],
  "data that is a list": [{ data: [1] }, ["data malformed"]],
  "data twice": [{ data_base64: "e30=" }, ["data malformed"]],
  "base64 that is none": [{ data: undefined, data_base64: "e3" }, ["data_base64 malformed"]],
  "base64 of no JSON": [{ data: undefined, data_base64: "////" }, ["data_base64 malformed"]],
  "an id with half a character": [{ id: "\ud83d" }, ["id bad_id"]],
  "an object in a text field": [{ data: { ...FIELDS, flight_id: { number: 1 } } }, ["fields.flight_id wrong_type"]],
  "a list in a number's field": [{ data: { ...FIELDS, distance: [1] } }, ["fields.distance wrong_type"]],
  "no data": [
    { data: undefined },
    ["flight_id", "origin", "destination", "distance"].map((name) => `fields.${name} missing_field`),
  ],
  "several things at once, attributes first": [
    { source: undefined, time: 5, id: undefined, data: { ...FIELDS, origin: "jfk", distance: "far" } },
    [
      "source missing_attribute",
      "time wrong_type",
      "id missing_id",
      "fields.origin pattern_mismatch",
      "fields.distance wrong_type",
    ],
  ],
};

for (const [name, [changes, broken]] of Object.entries(BROKEN)) {
  test(`a CloudEvent is rejected: ${name}`, () => {
    const rejected = checkRejected(structured(changes));
    assert.deepEqual(brokenBy(rejected), broken);
    // A violation is kept in headers and in the database.
    for (const { field, description } of rejected.violations) {
      assert.ok(!/\p{Cc}/u.test(field + description) && (field + description).isWellFormed());
    }
  });
}

test("data_base64 is the bytes of a JSON text", () => {
  const base64 = Buffer.from(JSON.stringify(FIELDS)).toString("base64");
  const event = checkValid(structured({ data: undefined, data_base64: base64, datacontenttype: "application/json" }));
  assert.deepEqual(event.event, checkValid(structured()).event);
});

test("the schema's version may be a number or its text", () => {
  for (const message of [
    structured({ schemaversion: 1 }),
    structured({ schemaversion: "1" }),
    binary({ "ce-schemaversion": "1" }),
  ]) {
    assert.equal(checkValid(message).event.schemaVersion, 1);
  }
});

test("times are kept to the nanosecond, in whatever offset", () => {
  const timeOf = (time: string): readonly [number, number] => {
    const { occurredAtSeconds, occurredAtNanos } = checkValid(structured({ time }));
    return [occurredAtSeconds, occurredAtNanos];
  };
  const seconds = Date.UTC(2001, 1, 3, 4, 5, 6) / 1_000;
  assert.deepEqual(timeOf("2001-02-03T04:05:06.123456789Z"), [seconds, 123_456_789]);
  assert.deepEqual(timeOf("2001-02-03t06:35:06.5+02:30"), [seconds, 500_000_000]);
  assert.deepEqual(timeOf("2001-02-02T23:05:06.0000000019-05:00"), [seconds, 1]);
});

test("the tracing extension goes with the event", () => {
  const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  assert.equal(checkValid(structured({ traceparent })).raw.traceparent, traceparent);
  assert.equal(checkValid(binary({ "ce-traceparent": traceparent })).raw.traceparent, traceparent);
});

test("a JSON member gets the type of its field, with nothing lost", () => {
  const apps = appsOf(
    FLIGHTS.replace(
      "flight_id: {",
      "seats: { type: INT64 }\n      boarded: { type: BOOL }\n      doors_at: { type: TIMESTAMP }\n      flight_id: {",
    ),
  );
  const schema = apps.get("flight-delays")?.types.get("flight.scheduled")?.schema;
  assert.equal(schema?.fields["seats"]?.type, FieldType.INT64);
  const kindsOf = (data: object): unknown[] => {
    const { fields } = checkValid(structured({ data: { ...FIELDS, ...data } }), apps).event;
    return Object.keys(data).map((name) => fields[name]?.kind.value);
  };
  assert.deepEqual(kindsOf({ seats: 180, boarded: true }), [180n, true]);
  assert.deepEqual(kindsOf({ seats: "-9223372036854775808", boarded: null }), [-(2n ** 63n), undefined]);
  assert.deepEqual(kindsOf({ gate: "B4", crew: { pilot: ["A"] } }), ["B4", '{"pilot":["A"]}']);
  const [doorsAt] = kindsOf({ doors_at: "2001-01-10T00:00:00.000000001Z" }) as [{ seconds: bigint; nanos: number }];
  assert.deepEqual([doorsAt.seconds, doorsAt.nanos], [BigInt(START_MS / 1_000), 1]);
  // A JSON number that may have lost digits is no integer; nor is one that 64 bits do not hold.
  for (const seats of [2 ** 53, 1.5, "9223372036854775808", true]) {
    const rejected = checkRejected(structured({ data: { ...FIELDS, seats } }), apps);
    assert.deepEqual(brokenBy(rejected), ["fields.seats wrong_type"]);
  }
});

test("a field called __proto__ is a field like any other", () => {
  const data = `{"__proto__": 1, ${JSON.stringify(FIELDS).slice(1)}`;
  const message = JSON.stringify({ ...CLOUD_EVENT, data: "DATA" }).replace('"DATA"', data);
  const { event } = checkValid({ ...structured(), data: message });
  assert.equal(Object.getPrototypeOf(event.fields), Object.prototype);
  assert.ok(Object.hasOwn(event.fields, "__proto__"));
});

test("JSON without the headers of a CloudEvent says what is missing", () => {
  const [rejected] = check({ data: JSON.stringify(FIELDS), headers: { "Content-Type": "application/json" } });
  assert.equal(rejected?.kind, "rejected");
  assert.match(rejected?.kind === "rejected" ? (rejected.violations[0]?.description ?? "") : "", /ce-id/);
});
