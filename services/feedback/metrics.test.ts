import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { LabelQualitySchema } from "@millrace/proto/millrace/feedback/v1/label_quality_pb.ts";
import { type Attributes, type BatchObservableCallback, type MeterProvider, metrics } from "@opentelemetry/api";

/** What was recorded, as `instrument {attributes} value`. */
const recorded: string[] = [];
let collect: BatchObservableCallback | undefined;
const meter = {
  createCounter: (name: string) => ({ add: (value: number, about: Attributes) => record(name, value, about) }),
  createObservableGauge: (name: string) => name,
  addBatchObservableCallback: (callback: BatchObservableCallback) => (collect = callback),
};
const record = (name: string, value: number, about: Attributes): void => {
  recorded.push(`${name.replace("millrace.feedback.", "")} ${Object.values(about).join(" ")} ${value}`);
};
// Before the module is loaded: an instrument belongs to the meter that is there then.
metrics.setGlobalMeterProvider({ getMeter: () => meter } as unknown as MeterProvider);
const { countLabels, observeLabels } = await import("./metrics.ts");

test("coverage, what never got its truth, and the delay's quantiles are told by app and model version", async () => {
  const hours = (count: number) => durationFromMs(count * 3_600_000);
  observeLabels(async () => [
    create(LabelQualitySchema, {
      app: "loans",
      modelVersion: "loans/1",
      predictions: 8n,
      labelled: 6n,
      delay: { p50: hours(1), p90: hours(2), p99: hours(3) },
    }),
    create(LabelQualitySchema, { app: "loans", modelVersion: "loans/2" }),
  ]);
  const observer: unknown = {
    observe: (name: unknown, value: number, about: Attributes) => record(String(name), value, about),
  };
  await collect?.(observer as never);
  assert.deepEqual(recorded.splice(0), [
    "labels.coverage loans loans/1 0.75",
    "labels.never loans loans/1 2",
    "labels.delay loans loans/1 0.5 3600",
    "labels.delay loans loans/1 0.9 7200",
    "labels.delay loans loans/1 0.99 10800",
    "labels.never loans loans/2 0",
  ]);
});

test("labels are counted by what became of them", () => {
  countLabels("loans", { stored: 3, repeated: 2, ahead: 0, contradictions: 1 });
  assert.deepEqual(recorded.splice(0), [
    "labels loans stored 3",
    "labels loans repeated 2",
    "labels loans contradiction 1",
  ]);
});
