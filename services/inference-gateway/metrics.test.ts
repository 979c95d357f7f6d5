import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { type Attributes, type MeterProvider, metrics, type ObservableResult } from "@opentelemetry/api";
import { Breaker } from "./breaker.ts";
import type { Observed } from "./observation.ts";
import type { ServedModel } from "./servedModel.ts";

type Observation = readonly [value: number, attributes: Attributes | undefined];

/** What an exporter would read, by instrument. */
const readers = new Map<string, (result: ObservableResult) => void>();

function read(instrument: string): Observation[] {
  const observations: Observation[] = [];
  const observe = (value: number, attributes?: Attributes): void => {
    observations.push([value, attributes]);
  };
  readers.get(instrument)?.({ observe });
  return observations;
}

// An instrument takes the meter that is there when its module is loaded.
before(() => {
  const observable = (name: string) => ({
    addCallback: (callback: (result: ObservableResult) => void) => readers.set(name, callback),
  });
  const meter = {
    createObservableCounter: observable,
    createObservableGauge: observable,
    createHistogram: () => ({ record: () => undefined }),
  };
  metrics.setGlobalMeterProvider({ getMeter: () => meter } as unknown as MeterProvider);
});
after(() => metrics.disable());

test("every step of the chain is told by app, step and what came of it", async () => {
  const { PredictCounts } = await import("./metrics.ts");
  const counts = new PredictCounts();
  counts.observe();
  counts.step("flights", MadeBy.CANARY, "breaker_open");
  counts.step("flights", MadeBy.CHAMPION, "deadline_exceeded");
  counts.step("flights", MadeBy.CHAMPION, "deadline_exceeded");
  counts.step("flights", MadeBy.SHADOW, "dropped");
  const step = (name: string, result: string) => ({ "millrace.app": "flights", "millrace.step": name, result });
  assert.deepEqual(read("millrace.predict.steps"), [
    [1, step("CANARY", "breaker_open")],
    [2, step("CHAMPION", "deadline_exceeded")],
    [1, step("SHADOW", "dropped")],
  ]);
});

test("the state of every version's breaker is told: closed, half-open and open, of the canary and the shadow, too", async () => {
  const { PredictCounts } = await import("./metrics.ts");
  const { observeGateway } = await import("./observation.ts");
  const time = { now: 0 };
  const version = (number: number) => ({ version: `flights/${number}`, breaker: new Breaker() }) as ServedModel;
  const [champion, canary, shadow] = [version(1), version(2), version(3)];
  const serving = { champion, previous: undefined, canary: { model: canary }, shadow: { model: shadow } };
  const parts = { apps: { entries: [] }, deployments: { all: [["flights", serving]] }, recorder: {}, pool: {} };
  observeGateway({ ...parts, counts: new PredictCounts(), clock: { now: () => time.now } } as unknown as Observed);
  const fail = ({ breaker }: ServedModel): void => {
    for (let failures = 0; failures < 5; failures += 1) breaker.failure(time.now);
  };
  const states = () =>
    read("millrace.model.breaker").map(([value, attributes]) => [attributes?.["millrace.model.version"], value]);
  fail(canary);
  time.now = 2_000;
  fail(shadow);
  assert.deepEqual(states(), [
    ["flights/1", 0],
    ["flights/2", 1],
    ["flights/3", 2],
  ]);
});
