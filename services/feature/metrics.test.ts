import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { parseApp } from "@millrace/app";
import { compileFeatures } from "@millrace/features";
import { type AcceptedEvents, AcceptedEventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type MeterProvider, metrics } from "@opentelemetry/api";
import { FLIGHTS_APP, START_MS } from "./flightsForTests.ts";
import { LiveState } from "./liveState.ts";

/** What was recorded, by instrument. */
const recorded = new Map<string, number[]>();
const record = (name: string) => (value: number) => recorded.set(name, [...(recorded.get(name) ?? []), value]);
const observed = { addCallback: () => undefined, removeCallback: () => undefined };
const meter = {
  createHistogram: (name: string) => ({ record: record(name) }),
  createCounter: (name: string) => ({ add: record(name) }),
  createObservableGauge: () => observed,
  createObservableCounter: () => observed,
};
// Before the module is loaded: an instrument belongs to the meter that is there then.
metrics.setGlobalMeterProvider({ getMeter: () => meter } as unknown as MeterProvider);
const { LiveMetrics } = await import("./metrics.ts");

const batch = (...occurredAtMs: number[]): AcceptedEvents =>
  create(AcceptedEventsSchema, { events: occurredAtMs.map((ms) => ({ event: { occurredAt: timestampFromMs(ms) } })) });

test("freshness is from publishing, and from happening, to being readable: of what a write covers, whatever comes meanwhile or has to be tried again", () => {
  const state = LiveState.empty(compileFeatures(parseApp(FLIGHTS_APP)), {});
  using live = new LiveMetrics("flights", { partition: 0, partitions: 1 }, state);
  const take = (): unknown[] => {
    const taken = ["freshness", "event_freshness", "writes"].map((name) => recorded.get(`millrace.features.${name}`));
    recorded.clear();
    return taken;
  };
  live.applied(batch(START_MS + 3_000, START_MS + 1_000), START_MS + 4_000);
  live.applied(batch(START_MS + 2_000), START_MS + 4_200);
  const first = live.writing();
  live.applied(batch(START_MS), START_MS + 4_500);
  first.readable(2, START_MS + 5_000);
  assert.deepEqual(take(), [[1_000], [4], [2]]);
  const second = live.writing();
  live.applied(batch(START_MS + 4_000), START_MS + 5_500);
  second.failed();
  assert.deepEqual(take(), [undefined, undefined, undefined]);
  live.writing().readable(1, START_MS + 6_000);
  assert.deepEqual(take(), [[1_500], [6], [1]]);
  // Nothing new, and a broker whose clock is ahead.
  live.writing().readable(1, START_MS + 7_000);
  assert.deepEqual(take(), [undefined, undefined, [1]]);
  live.applied(batch(START_MS + 9_000), START_MS + 9_000);
  live.writing().readable(1, START_MS + 8_000);
  assert.deepEqual(take(), [[0], [0], [1]]);
});
