import assert from "node:assert/strict";
import { test } from "node:test";
import { applyApp } from "@millrace/app";
import type { AcceptedEvent } from "@millrace/proto/millrace/event/v1/event_pb.ts";
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
