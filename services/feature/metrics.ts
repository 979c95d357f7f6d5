import { contextOf } from "@millrace/bus";
import type { AcceptedEvents } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { metrics, type ObservableResult, type Span, trace } from "@opentelemetry/api";
import type { LiveState } from "./liveState.ts";
import type { Share } from "./partitioning.ts";

const meter = metrics.getMeter("millrace.feature");
const tracer = trace.getTracer("millrace.feature");

const freshness = meter.createHistogram("millrace.features.freshness", {
  description: "From an event's acceptance to its features being readable",
  unit: "ms",
  advice: { explicitBucketBoundaries: [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000] },
});
const writes = meter.createCounter("millrace.features.writes", { description: "Entities written to the bucket" });
const eventTime = meter.createObservableGauge("millrace.features.watermark", {
  description: "Every event known before this event time is readable",
  unit: "s",
});
const entities = meter.createObservableGauge("millrace.features.entities", { description: "Entities kept in memory" });
const applied = meter.createObservableCounter("millrace.features.events", { description: "Events applied" });
const duplicates = meter.createObservableCounter("millrace.features.duplicates", {
  description: "Batches that came a second time",
});

/** Sampled events whose spans are open at most; the rest go without. */
const MAX_SPANS = 200;

/** What an SRE sees of one app's live features, and the spans of sampled events: from being applied to being readable. */
export class LiveMetrics implements Disposable {
  readonly #attributes: { "millrace.app": string; "millrace.partition": number };
  readonly #stop: () => void;
  #spans: Span[] = [];

  constructor(app: string, { partition }: Share, state: LiveState) {
    this.#attributes = { "millrace.app": app, "millrace.partition": partition };
    const observers = [
      [eventTime, () => state.position.completeBeforeMs / 1_000],
      [entities, () => state.engine.size],
      [applied, () => state.events],
      [duplicates, () => state.duplicates],
    ] as const;
    const registered = observers.map(([instrument, value]) => {
      const observe = (result: ObservableResult): void => {
        const observed = value();
        if (Number.isFinite(observed)) result.observe(observed, this.#attributes);
      };
      instrument.addCallback(observe);
      return () => instrument.removeCallback(observe);
    });
    this.#stop = () => registered.forEach((remove) => remove());
  }

  /** A batch has been applied. */
  applied({ events }: AcceptedEvents): void {
    for (const { event, traceparent } of events) {
      if (traceparent === "" || this.#spans.length >= MAX_SPANS) continue;
      const attributes = { ...this.#attributes, "millrace.event.type": event?.type ?? "" };
      this.#spans.push(tracer.startSpan("features.apply", { attributes }, contextOf(traceparent)));
    }
  }

  /** Everything applied so far is readable; the oldest of it came `waitedMs` ago. */
  readable(written: number, waitedMs: number): void {
    freshness.record(waitedMs, this.#attributes);
    writes.add(written, this.#attributes);
    for (const span of this.#spans) span.end();
    this.#spans = [];
  }

  [Symbol.dispose](): void {
    this.#stop();
    for (const span of this.#spans) span.end();
  }
}
