import assert from "node:assert/strict";
import { test } from "node:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type MeterProvider, metrics } from "@opentelemetry/api";

const EVENTS = "millrace.ingestion.events.";

/** What was added to each counter, by its attributes. */
const totals = new Map<string, number>();

function add(counter: string, value: number, attributes: Readonly<Record<string, string>> = {}): void {
  const key = [counter.replace(EVENTS, ""), ...Object.values(attributes)].join(" ");
  if (value > 0 && counter.startsWith(EVENTS)) totals.set(key, (totals.get(key) ?? 0) + value);
}

const meter = {
  createCounter: (counter: string) => ({
    add: (value: number, attributes?: Record<string, string>) => add(counter, value, attributes),
  }),
  createHistogram: () => ({ record: () => undefined }),
};
// Before the module is loaded: a counter belongs to the meter that is there then.
metrics.setGlobalMeterProvider({ getMeter: () => meter } as unknown as MeterProvider);
const { APP, FLIGHTS, number, scheduled, START_MS, TestIngestion, text } = await import("./ingestionForTests.ts");
const { sampleOf } = await import("./noise.ts");

const HOUR_MS = 3_600_000;

test("an event later than the app's limit behind the stream's clock is marked late, and counted when it is new", async () => {
  await using ingestion = await TestIngestion.start({ app: FLIGHTS.replace("lateness: 1h", "lateness: 30m") });
  totals.clear();
  const at = (ms: number) => scheduled({ occurredAt: timestampFromMs(START_MS + ms) });
  const onTime = [at(HOUR_MS), at(HOUR_MS / 2)];
  const late = [at(HOUR_MS / 2 - 1), at(0)];
  for (const event of [...onTime, ...late, ...late]) {
    await ingestion.publish(event);
    await ingestion.settled();
  }
  const stored = await ingestion.readLog();
  assert.deepEqual(
    stored.map(({ event, late }) => [event?.id, late]),
    [...onTime.map(({ id }) => [id, false]), ...late.map(({ id }) => [id, true])],
  );
  // Late or not, they are known from the moment on at which they came.
  assert.ok(stored.every(({ knownAt }) => Number(knownAt?.seconds) * 1_000 === START_MS + HOUR_MS));
  assert.deepEqual([totals.get("accepted"), totals.get("late"), totals.get("duplicates")], [4, 2, 2]);
  assert.deepEqual((await ingestion.counts()).late, { "flight.scheduled": 2n });
});

test("what became of events is counted by reason, and noise by app, rule and outcome", async () => {
  await using ingestion = await TestIngestion.start({
    app: FLIGHTS.replace("unknown_fields: KEEP", `noise: [{ name: near, when: "event.distance < 100.0", keep: 50% }]`),
  });
  totals.clear();
  const near = Array.from({ length: 20 }, (_, index) => scheduled({ id: `near-${index}` }, { distance: number(9) }));
  const bad = scheduled({}, { origin: text("jfk"), distance: number(-1) });
  await Promise.all([...near, scheduled(), bad].map((event) => ingestion.publish(event)));
  await ingestion.settled();
  const kept = near.filter(({ id }) => sampleOf("near", id) < 0.5).length;
  assert.ok(kept > 0 && kept < 20);
  assert.deepEqual(Object.fromEntries(totals), {
    accepted: kept + 1,
    dropped: 20 - kept,
    [`noise ${APP} near dropped`]: 20 - kept,
    [`noise ${APP} near kept`]: kept,
    "rejected pattern_mismatch": 1,
  });
});
