import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { applyApp, parseApp } from "@millrace/app";
import { type App, AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { type AcceptedEvent, EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { AppDirectory } from "./appDirectory.ts";
import { brokenBy, checkRejected, checkValid } from "./checkForTests.ts";
import { FLIGHTS, number, scheduled, TestIngestion } from "./ingestionForTests.ts";

const [FIRST, SECOND, THIRD] = [6_000, 7_000, 5_000].map((max, index) =>
  FLIGHTS.replaceAll("max: 6000", `max: ${max}`).replaceAll("version: 1", `version: ${index + 1}`),
) as [string, string, string];

const versionsOf = (log: readonly AcceptedEvent[]): (readonly [number | undefined, string])[] =>
  log.map(({ event }) => [event?.schemaVersion, event?.id ?? ""]);

test("each version keeps its rules for who writes it, also in an ingestion that was not there when it was replaced", async () => {
  await using ingestion = await TestIngestion.start({ app: FIRST, running: false });
  await applyApp(ingestion.bus, SECOND);
  await applyApp(ingestion.bus, THIRD);
  await ingestion.resume();
  const good = [
    scheduled({ schemaVersion: 1 }, { distance: number(5_900) }),
    scheduled({ schemaVersion: 2 }, { distance: number(6_900) }),
    scheduled({ schemaVersion: 3 }, { distance: number(4_900) }),
    scheduled({ schemaVersion: 0 }, { distance: number(4_900) }),
  ];
  const bad = [
    scheduled({ schemaVersion: 1 }, { distance: number(6_900) }),
    scheduled({ schemaVersion: 2 }, { distance: number(7_900) }),
    scheduled({ schemaVersion: 3 }, { distance: number(5_900) }),
    scheduled({ schemaVersion: 0 }, { distance: number(5_900) }),
    scheduled({ schemaVersion: 4 }),
  ];
  for (const event of [...good, ...bad]) await ingestion.publish(event);
  await ingestion.settled();
  assert.deepEqual(
    versionsOf(await ingestion.readLog()),
    good.map(({ schemaVersion, id }) => [schemaVersion, id]),
  );
  assert.deepEqual((await ingestion.counts()).rejected, { field_out_of_range: 4n, unknown_schema_version: 1n });
  await ingestion.stop();
  await ingestion.resume();
  await ingestion.publish(scheduled({ schemaVersion: 1 }, { distance: number(5_950) }));
  await ingestion.settled();
  assert.equal((await ingestion.readLog()).length, good.length + 1);
});

/** Version 7 in use, distances up to 7,000; 5 kept, up to 5,000. What came before is kept no more, and there never was a 6. */
function someVersionsKept(): AppDirectory {
  const upTo = (max: number, version: number): App =>
    parseApp(FLIGHTS.replaceAll("max: 6000", `max: ${max}`).replaceAll("version: 1", `version: ${version}`));
  const earlier = upTo(5_000, 5).events["flight.scheduled"];
  assert.ok(earlier !== undefined);
  const apps = new AppDirectory(() => Promise.resolve(undefined));
  const earlierEvents = { "flight.scheduled": { schemas: [earlier] } };
  apps.adopt(create(AppVersionSchema, { version: 9, app: upTo(7_000, 7), earlierEvents }));
  return apps;
}

const written = (schemaVersion: number, distance: number) => ({
  data: toBinary(EventSchema, scheduled({ schemaVersion }, { distance: number(distance) })),
});

for (const [version, longest, why] of [
  [0, 7_000, "the newest judges who names none"],
  [7, 7_000, "the newest judges who names it"],
  [5, 5_000, "a version that is kept keeps its rules"],
  [6, 7_000, "the newest judges a number that was left out"],
  [4, 7_000, "the newest judges a version that is kept no more"],
  [1, 7_000, "the newest judges a version that is kept no more"],
] as const) {
  test(`version ${version}: ${why}`, () => {
    const apps = someVersionsKept();
    checkValid(written(version, longest), apps);
    assert.deepEqual(brokenBy(checkRejected(written(version, longest + 1), apps)), [
      "fields.distance field_out_of_range",
    ]);
  });
}

test("a version newer than the newest is refused, until an app file brings it", () => {
  const rejected = checkRejected(written(8, 1), someVersionsKept());
  assert.deepEqual(brokenBy(rejected), ["schema_version unknown_schema_version"]);
  assert.match(rejected.violations[0]?.description ?? "", /schema_version 8 of .* is not known; the newest is 7/);
});

test("a CloudEvent is judged by the version that its schemaversion names, and without one by the newest", () => {
  const cloudEvent = (distance: number, attributes: object = {}) => ({
    data: JSON.stringify({
      specversion: "1.0",
      id: "c",
      source: "/test",
      type: "flight.scheduled",
      time: "2001-01-10T00:00:00Z",
      ...attributes,
      data: { flight_id: "c", origin: "JFK", destination: "SFO", distance },
    }),
    headers: { "Content-Type": "application/cloudevents+json" },
  });
  const apps = someVersionsKept();
  checkValid(cloudEvent(6_000), apps);
  checkValid(cloudEvent(5_000, { schemaversion: "5" }), apps);
  const outOfRange = ["fields.distance field_out_of_range"];
  assert.deepEqual(brokenBy(checkRejected(cloudEvent(7_001), apps)), outOfRange);
  assert.deepEqual(brokenBy(checkRejected(cloudEvent(6_000, { schemaversion: "5" }), apps)), outOfRange);
});
