import { setTimeout as delay } from "node:timers/promises";
import { toBinary } from "@bufbuild/protobuf";
import {
  type Bus,
  decode,
  type PipelinedPublisher,
  type PubAck,
  predictionSubject,
  type Traceparent,
} from "@millrace/bus";
import { type Prediction, PredictionSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { type Clock, describeError, type Logger, MillraceError } from "@millrace/runtime";
import { DeadlineQueue, type Due } from "./deadlineQueue.ts";
import { DeadlineTimer } from "./deadlineTimer.ts";
import type { PredictCounts } from "./metrics.ts";

export interface Recorded {
  readonly prediction: Prediction;
  /** False when the bus did not confirm in time; it is still being tried. */
  readonly recorded: boolean;
}

export interface RecorderOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly counts: PredictCounts;
  /** Most answered predictions that may wait for the bus; beyond it the oldest is given up, counted and logged. */
  readonly maxUnconfirmed: number;
}

interface Entry extends Due {
  readonly id: string;
  readonly prediction: Prediction;
  readonly bytes: Uint8Array;
  readonly traceparent: Traceparent;
  readonly resolve: (recorded: Recorded) => void;
}

/** How long one publication waits for its acknowledgement. */
const CONFIRM_MS = 5_000;
const RETRY_MS = 250;
const MAX_RETRY_MS = 5_000;
/** Publications on their way at once when the buffer is emptied. */
const RETRY_BATCH = 128;
/** Stopping waits this long for the bus to take what is left. */
const STOP_MS = 4_000;

/**
 * Stores predictions on the bus before they are answered, all in flight at once. The broker knows a repeated request by its
 * id: its caller gets the stored prediction again. What the bus does not confirm by the answer's deadline is answered as not
 * recorded, and tried again from a bounded buffer.
 */
export class Recorder implements AsyncDisposable {
  readonly #options: RecorderOptions;
  readonly #deadlines = new DeadlineQueue<Entry>();
  readonly #timer: DeadlineTimer;
  readonly #publisher: PipelinedPublisher;
  /** Answered as not recorded, by message id, oldest first. */
  readonly #unconfirmed = new Map<string, Entry>();
  /** Those among them whose publication has failed. */
  readonly #failed = new Map<string, Entry>();
  readonly #stopping = new AbortController();
  #retrying: Promise<void> | undefined;

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#publisher = options.bus.pipelinedPublisher(CONFIRM_MS);
    this.#timer = new DeadlineTimer(options.clock, () => this.#expire());
  }

  /** Answered predictions that the bus has not confirmed yet. */
  get unconfirmed(): number {
    return this.#unconfirmed.size;
  }

  /** Resolves when the bus has stored the prediction, or at the deadline (milliseconds on the recorder's clock). */
  record(prediction: Prediction, deadline: number, traceparent: Traceparent): Promise<Recorded> {
    const id = `${prediction.app}/${prediction.requestId}`;
    const earlier = this.#unconfirmed.get(id);
    if (earlier !== undefined) return Promise.resolve({ prediction: earlier.prediction, recorded: false });
    const { promise, resolve } = Promise.withResolvers<Recorded>();
    const bytes = toBinary(PredictionSchema, prediction);
    const entry: Entry = { id, prediction, bytes, traceparent, resolve, deadline, settled: false };
    this.#deadlines.push(entry);
    this.#timer.arm(deadline);
    this.#publish(entry).then(
      (stored) => this.#confirmed(entry, stored),
      () => this.#unpublished(entry),
    );
    return promise;
  }

  /** Stores a shadow's prediction, once and without anybody waiting: what the bus does not take is counted, and let go. */
  copy(prediction: Prediction): void {
    const id = `${prediction.app}/${prediction.requestId} shadow ${prediction.modelVersion}`;
    const bytes = toBinary(PredictionSchema, prediction);
    this.#publisher.publish(predictionSubject(prediction.app), bytes, id, "").catch(() => {
      this.#options.counts.lostCopies += 1;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const limit = performance.now() + STOP_MS;
    while (this.#unconfirmed.size > 0 && performance.now() < limit) await delay(20);
    this.#stopping.abort();
    await this.#retrying;
    this.#timer[Symbol.dispose]();
    this.#publisher[Symbol.dispose]();
    if (this.#unconfirmed.size > 0) this.#lost(this.#unconfirmed.size, "the service stops while the bus is away");
  }

  /** Publishes once; the prediction that the stream now holds under this id. */
  async #publish(entry: Entry): Promise<Prediction> {
    const { id, traceparent, prediction, bytes } = entry;
    const ack = await this.#publisher.publish(predictionSubject(prediction.app), bytes, id, traceparent);
    return ack.duplicate ? await this.#stored(ack) : prediction;
  }

  async #stored({ stream, seq }: PubAck): Promise<Prediction> {
    this.#options.counts.duplicates += 1;
    const message = await this.#options.bus.manager.direct.getMessage(stream, { seq });
    if (message === null) throw new MillraceError("unavailable", `${stream} does not give message ${seq}`);
    return decode(PredictionSchema, message.data);
  }

  #confirmed(entry: Entry, prediction: Prediction): void {
    this.#unconfirmed.delete(entry.id);
    this.#failed.delete(entry.id);
    if (entry.settled) return;
    this.#deadlines.settle(entry);
    entry.resolve({ prediction, recorded: true });
  }

  /** The publication has failed for good: answered now, tried again later. */
  #unpublished(entry: Entry): void {
    if (!entry.settled) {
      this.#deadlines.settle(entry);
      this.#answerUnrecorded(entry);
    }
    if (!this.#unconfirmed.has(entry.id)) return;
    this.#failed.set(entry.id, entry);
    this.#retrying ??= this.#retry().finally(() => {
      this.#retrying = undefined;
    });
  }

  #expire(): void {
    for (const entry of this.#deadlines.due(this.#options.clock.now())) this.#answerUnrecorded(entry);
    this.#timer.arm(this.#deadlines.next());
  }

  #answerUnrecorded(entry: Entry): void {
    const { counts, maxUnconfirmed } = this.#options;
    counts.unrecorded += 1;
    for (const [id] of this.#unconfirmed) {
      if (this.#unconfirmed.size < maxUnconfirmed) break;
      this.#unconfirmed.delete(id);
      this.#failed.delete(id);
      this.#lost(1, `${maxUnconfirmed} predictions wait for the bus already`);
    }
    this.#unconfirmed.set(entry.id, entry);
    entry.resolve({ prediction: entry.prediction, recorded: false });
  }

  async #retry(): Promise<void> {
    const { logger } = this.#options;
    let waitMs = RETRY_MS;
    while (this.#failed.size > 0 && !this.#stopping.signal.aborted) {
      const batch = [...this.#failed.values()].slice(0, RETRY_BATCH);
      const results = await Promise.allSettled(batch.map((entry) => this.#publish(entry)));
      let stored = 0;
      results.forEach((result, index) => {
        if (result.status === "rejected") return;
        this.#confirmed(batch[index] as Entry, result.value);
        stored += 1;
      });
      if (stored > 0) {
        waitMs = RETRY_MS;
        continue;
      }
      const failure = results.find((result) => result.status === "rejected");
      logger.warn(
        { unconfirmed: this.#unconfirmed.size },
        `NATS takes no predictions: ${describeError(failure?.reason)}`,
      );
      await delay(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, MAX_RETRY_MS);
    }
  }

  #lost(count: number, why: string): void {
    this.#options.counts.lostRecords += count;
    this.#options.logger.error({ count }, `${count} answered prediction(s) could not be stored: ${why}`);
  }
}
