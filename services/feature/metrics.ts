import { timestampMs } from "@bufbuild/protobuf/wkt";
import { contextOf } from "@millrace/bus";
import type { AcceptedEvents } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { metrics, type ObservableResult, type Span, trace } from "@opentelemetry/api";
import type { LiveState } from "./liveState.ts";
import type { Share } from "./partitioning.ts";

const meter = metrics.getMeter("millrace.feature");
const tracer = trace.getTracer("millrace.feature");

const freshness = meter.createHistogram("millrace.features.freshness", {
  description:
    "From ingestion's publishing of an event on ACCEPTED to its features being readable; of each write, the event that waited longest",
  unit: "ms",
  advice: { explicitBucketBoundaries: [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 10_000] },
});
const eventFreshness = meter.createHistogram("millrace.features.event_freshness", {
  description:
    "From an event's occurred_at to its features being readable; of each write, the event that happened first. A replay is far off",
  unit: "s",
  advice: { explicitBucketBoundaries: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400] },
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

/** What was applied and is not readable yet: when the first of it was published, when the earliest happened, its open spans. */
interface Unreadable {
  publishedAtMs: number;
  occurredAtMs: number;
  readonly spans: Span[];
}

const nothing = (): Unreadable => ({ publishedAtMs: Infinity, occurredAtMs: Infinity, spans: [] });

/** What an SRE sees of one app's live features, and the spans of sampled events: from being applied to being readable. */
export class LiveMetrics implements Disposable {
  readonly #attributes: { "millrace.app": string; "millrace.partition": number };
  readonly #stop: () => void;
  #unreadable = nothing();

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

  /** A batch has been applied that was published on ACCEPTED at this time, in milliseconds since 1970 by the broker's clock. */
  applied({ events }: AcceptedEvents, publishedAtMs: number): void {
    const unreadable = this.#unreadable;
    unreadable.publishedAtMs = Math.min(unreadable.publishedAtMs, publishedAtMs);
    for (const { event, traceparent } of events) {
      if (event?.occurredAt !== undefined) {
        unreadable.occurredAtMs = Math.min(unreadable.occurredAtMs, timestampMs(event.occurredAt));
      }
      if (traceparent === "" || unreadable.spans.length >= MAX_SPANS) continue;
      const attributes = { ...this.#attributes, "millrace.event.type": event?.type ?? "" };
      unreadable.spans.push(tracer.startSpan("features.apply", { attributes }, contextOf(traceparent)));
    }
  }

  /** What was applied so far is being written. Answers what to call when that has ended: what comes meanwhile is not part of it. */
  writing(): { readable(written: number, nowMs: number): void; failed(): void } {
    const writing = this.#unreadable;
    this.#unreadable = nothing();
    return {
      readable: (written, nowMs) => this.#readable(writing, written, nowMs),
      failed: () => {
        const since = this.#unreadable;
        this.#unreadable = {
          publishedAtMs: Math.min(writing.publishedAtMs, since.publishedAtMs),
          occurredAtMs: Math.min(writing.occurredAtMs, since.occurredAtMs),
          spans: [...writing.spans, ...since.spans],
        };
      },
    };
  }

  #readable({ publishedAtMs, occurredAtMs, spans }: Unreadable, written: number, nowMs: number): void {
    // The broker's clock, or the producer's, may be ahead of ours.
    if (Number.isFinite(publishedAtMs)) freshness.record(Math.max(0, nowMs - publishedAtMs), this.#attributes);
    if (Number.isFinite(occurredAtMs)) {
      eventFreshness.record(Math.max(0, nowMs - occurredAtMs) / 1_000, this.#attributes);
    }
    writes.add(written, this.#attributes);
    for (const span of spans) span.end();
  }

  [Symbol.dispose](): void {
    this.#stop();
    for (const span of this.#unreadable.spans) span.end();
  }
}
