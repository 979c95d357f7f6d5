import { contextOf, linksTo, type Traceparent } from "@millrace/bus";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { metrics, type ObservableResult, SpanStatusCode, trace } from "@opentelemetry/api";

const meter = metrics.getMeter("millrace.inference-gateway");
const tracer = trace.getTracer("millrace.inference-gateway");

const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
const MILLISECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500];

const batchSize = meter.createHistogram("millrace.inference.batch.size", {
  description: "Rows per run of a model",
  advice: { explicitBucketBoundaries: BATCH_SIZES },
});
const queueTime = meter.createHistogram("millrace.inference.queue.time", {
  description: "How long the oldest request of a batch waited",
  unit: "ms",
  advice: { explicitBucketBoundaries: MILLISECONDS },
});
const runTime = meter.createHistogram("millrace.inference.run.time", {
  description: "From handing a batch over to its answer",
  unit: "ms",
  advice: { explicitBucketBoundaries: MILLISECONDS },
});
const predictTime = meter.createHistogram("millrace.predict.time", {
  description: "From the arrival of a call to its answer, once for all rows whose predictions are stored together",
  unit: "ms",
  advice: { explicitBucketBoundaries: MILLISECONDS },
});

const STEP_NAMES = new Map<MadeBy, string>(Object.entries(MadeBy).map(([name, number]) => [number, name]));

/** Says that a batch begins; the function returned says that it ended, and with which error. */
export interface BatchMetrics {
  started(
    version: string,
    rows: number,
    queueMs: number,
    traceparents: readonly Traceparent[],
  ): (error?: Error) => void;
}

/** Batch sizes and times; a span per batch that holds a sampled call, linked to all sampled ones in it. */
export const batchMetrics: BatchMetrics = {
  started(version, rows, queueMs, traceparents) {
    const attributes = { "millrace.model.version": version };
    batchSize.record(rows, attributes);
    queueTime.record(queueMs, attributes);
    const sampled = traceparents.filter((traceparent) => traceparent !== "");
    const span =
      sampled.length === 0
        ? undefined
        : tracer.startSpan(
            "inference batch",
            { links: linksTo(sampled), attributes: { ...attributes, "millrace.batch.size": rows } },
            contextOf(sampled[0]),
          );
    const startedAt = performance.now();
    return (error) => {
      runTime.record(performance.now() - startedAt, attributes);
      if (error !== undefined) span?.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
      span?.end();
    };
  },
};

/**
 * Counts that grow with every call. Plain numbers, read when the exporter asks: a call pays for an addition, not for an
 * attribute set.
 */
export class PredictCounts {
  readonly #answers = new Map<string, Map<MadeBy, number>>();
  readonly #refusals = new Map<string, number>();
  /** By app, step and what came of it. */
  readonly #steps = new Map<string, Map<MadeBy, Map<string, number>>>();
  unrecorded = 0;
  duplicates = 0;
  lostRecords = 0;
  lostCopies = 0;

  answered(app: string, madeBy: MadeBy): void {
    let counts = this.#answers.get(app);
    if (counts === undefined) this.#answers.set(app, (counts = new Map()));
    counts.set(madeBy, (counts.get(madeBy) ?? 0) + 1);
  }

  /** What was stored together is answered together. */
  took(durationMs: number): void {
    predictTime.record(durationMs);
  }

  /**
   * A step of the chain was asked.
   *
   * @param result `answered`, `kept` or `joined` (the cache's), else a word for why it did not answer
   */
  step(app: string, madeBy: MadeBy, result: string): void {
    let steps = this.#steps.get(app);
    if (steps === undefined) this.#steps.set(app, (steps = new Map()));
    let results = steps.get(madeBy);
    if (results === undefined) steps.set(madeBy, (results = new Map()));
    results.set(result, (results.get(result) ?? 0) + 1);
  }

  /** How often a step ended so, over all apps. */
  steps(madeBy: MadeBy, result: string): number {
    let sum = 0;
    for (const steps of this.#steps.values()) sum += steps.get(madeBy)?.get(result) ?? 0;
    return sum;
  }

  refused(code: string): void {
    this.#refusals.set(code, (this.#refusals.get(code) ?? 0) + 1);
  }

  /** Answers so far by step of the chain, over all apps. */
  answers(madeBy: MadeBy): number {
    let sum = 0;
    for (const counts of this.#answers.values()) sum += counts.get(madeBy) ?? 0;
    return sum;
  }

  /** Registers the instruments that read these counts. */
  observe(): void {
    const counter = (name: string, description: string, read: (result: ObservableResult) => void): void =>
      meter.createObservableCounter(name, { description }).addCallback(read);
    counter("millrace.predict.answers", "Answered Predict calls by the step that made them", (result) => {
      for (const [app, counts] of this.#answers) {
        for (const [madeBy, count] of counts) {
          result.observe(count, { "millrace.app": app, "millrace.made_by": STEP_NAMES.get(madeBy) ?? "UNKNOWN" });
        }
      }
    });
    counter("millrace.predict.steps", "Steps of the chain that were asked, by what came of it", (result) => {
      for (const [app, steps] of this.#steps) {
        for (const [madeBy, results] of steps) {
          const attributes = { "millrace.app": app, "millrace.step": STEP_NAMES.get(madeBy) ?? "UNKNOWN" };
          for (const [word, count] of results) result.observe(count, { ...attributes, result: word });
        }
      }
    });
    counter("millrace.predict.refusals", "Predict calls that failed, by code", (result) => {
      for (const [code, count] of this.#refusals) result.observe(count, { "rpc.code": code });
    });
    counter("millrace.predict.unrecorded", "Answers given before the bus had confirmed the prediction", (result) =>
      result.observe(this.unrecorded),
    );
    counter("millrace.predict.duplicates", "Calls that got an earlier prediction again", (result) =>
      result.observe(this.duplicates),
    );
    counter("millrace.predict.lost_records", "Answered predictions that could never be stored", (result) =>
      result.observe(this.lostRecords),
    );
    counter("millrace.predict.lost_copies", "Predictions of shadows that were not stored", (result) =>
      result.observe(this.lostCopies),
    );
  }
}

/** Registers a gauge that is read when the exporter asks. */
export function observeGauge(
  name: string,
  description: string,
  read: (observe: (value: number, attributes?: Record<string, string>) => void) => void,
): void {
  meter
    .createObservableGauge(name, { description })
    .addCallback((result) => read((value, attributes) => result.observe(value, attributes)));
}
