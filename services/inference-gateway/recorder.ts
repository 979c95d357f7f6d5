import { setTimeout as delay } from "node:timers/promises";
import {
  type Bus,
  decode,
  type PipelinedPublisher,
  type PubAck,
  predictionSubject,
  type Traceparent,
} from "@millrace/bus";
import { type Prediction, PredictionsSchema } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { type Clock, describeError, type Logger, MillraceError } from "@millrace/runtime";
import { DeadlineQueue, type Due } from "./deadlineQueue.ts";
import { DeadlineTimer } from "./deadlineTimer.ts";
import type { PredictCounts } from "./metrics.ts";
import { type Answered, type EncodedPredictions, encodePredictions } from "./predictionBytes.ts";
import { messageId, rowsMessageId } from "./predictionId.ts";

export interface Recorded extends Answered {
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

/** A message on its way. */
interface Entry extends Due {
  readonly id: string;
  readonly predictions: readonly Prediction[];
  readonly encoded: EncodedPredictions;
  readonly traceparent: Traceparent;
  readonly resolve: (recorded: Recorded[]) => void;
}

/** How long one publication waits for its acknowledgement. */
const CONFIRM_MS = 5_000;
const RETRY_MS = 250;
const MAX_RETRY_MS = 5_000;
/** Messages on their way at once when the buffer is emptied. */
const RETRY_BATCH = 128;
/** A message with more bytes is divided: well below the broker's limit of 1 MiB. */
const MAX_MESSAGE_BYTES = 512 * 1_024;
/** Stopping waits this long for the bus to take what is left. */
const STOP_MS = 4_000;

/**
 * Stores predictions on the bus before they are answered, all in flight at once. The broker knows repeated questions by their
 * message's id: their caller gets the stored predictions again. What the bus does not confirm by the answer's deadline is answered as not
 * recorded, and tried again from a bounded buffer.
 */
export class Recorder implements AsyncDisposable {
  readonly #options: RecorderOptions;
  readonly #deadlines = new DeadlineQueue<Entry>();
  readonly #timer: DeadlineTimer;
  readonly #publisher: PipelinedPublisher;
  /** Messages whose predictions were answered as not recorded, by message id, oldest first. */
  readonly #unconfirmed = new Map<string, Entry>();
  #unconfirmedPredictions = 0;
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
    return this.#unconfirmedPredictions;
  }

  /** Resolves when the bus has stored the prediction, or at the deadline (milliseconds on the recorder's clock). */
  async record(prediction: Prediction, deadline: number, traceparent: Traceparent): Promise<Recorded> {
    return (await this.recordRows([prediction], deadline, traceparent))[0] as Recorded;
  }

  /** Stores one app's predictions together, in one message unless that would be too large. Resolves as `record` does. */
  async recordRows(
    predictions: readonly Prediction[],
    deadline: number,
    traceparent: Traceparent,
  ): Promise<readonly Recorded[]> {
    const [first, second] = predictions;
    if (first === undefined) return [];
    const encoded = encodePredictions(predictions);
    if (second !== undefined && encoded.message.length > MAX_MESSAGE_BYTES) {
      const middle = predictions.length >> 1;
      const halves = [predictions.slice(0, middle), predictions.slice(middle)];
      return (await Promise.all(halves.map((half) => this.recordRows(half, deadline, traceparent)))).flat();
    }
    const requestIds = predictions.map(({ requestId }) => requestId);
    const id = second === undefined ? messageId(first.app, first.requestId) : rowsMessageId(first.app, requestIds);
    const earlier = this.#unconfirmed.get(id);
    if (earlier !== undefined) return recorded(earlier.predictions, earlier.encoded, false);
    const { promise, resolve } = Promise.withResolvers<Recorded[]>();
    const entry: Entry = { id, predictions, encoded, traceparent, resolve, deadline, settled: false };
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
    const id = `${messageId(prediction.app, prediction.requestId)} shadow ${prediction.modelVersion}`;
    this.#publisher
      .publish(predictionSubject(prediction.app), encodePredictions([prediction]).message, id, "")
      .catch(() => {
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
    if (this.unconfirmed > 0) this.#lost(this.unconfirmed, "the service stops while the bus is away");
  }

  /** Publishes once; the predictions that the stream now holds under this id. */
  async #publish({ id, traceparent, predictions, encoded }: Entry): Promise<Recorded[]> {
    const subject = predictionSubject((predictions[0] as Prediction).app);
    const ack = await this.#publisher.publish(subject, encoded.message, id, traceparent);
    if (!ack.duplicate) return recorded(predictions, encoded, true);
    this.#options.counts.duplicates += predictions.length;
    const stored = await this.#stored(ack);
    return recorded(stored, encodePredictions(stored), true);
  }

  async #stored({ stream, seq }: PubAck): Promise<readonly Prediction[]> {
    const message = await this.#options.bus.manager.direct.getMessage(stream, { seq });
    if (message === null) throw new MillraceError("unavailable", `${stream} does not give message ${seq}`);
    return decode(PredictionsSchema, message.data).predictions;
  }

  #confirmed(entry: Entry, stored: Recorded[]): void {
    this.#forget(entry);
    if (entry.settled) return;
    this.#deadlines.settle(entry);
    entry.resolve(stored);
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
    const { predictions, encoded, id, resolve } = entry;
    counts.unrecorded += predictions.length;
    for (const oldest of this.#unconfirmed.values()) {
      if (this.#unconfirmedPredictions + predictions.length <= maxUnconfirmed) break;
      this.#forget(oldest);
      this.#lost(oldest.predictions.length, `${maxUnconfirmed} predictions wait for the bus already`);
    }
    this.#unconfirmed.set(id, entry);
    this.#unconfirmedPredictions += predictions.length;
    resolve(recorded(predictions, encoded, false));
  }

  #forget({ id, predictions }: Entry): void {
    this.#failed.delete(id);
    if (this.#unconfirmed.delete(id)) this.#unconfirmedPredictions -= predictions.length;
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
      logger.warn({ unconfirmed: this.unconfirmed }, `NATS takes no predictions: ${describeError(failure?.reason)}`);
      await delay(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, MAX_RETRY_MS);
    }
  }

  #lost(count: number, why: string): void {
    this.#options.counts.lostRecords += count;
    this.#options.logger.error({ count }, `${count} answered prediction(s) could not be stored: ${why}`);
  }
}

function recorded(predictions: readonly Prediction[], { each }: EncodedPredictions, confirmed: boolean): Recorded[] {
  return predictions.map((prediction, index) => {
    const { requestId } = prediction;
    return { prediction, requestId, bytes: each[index] as Uint8Array, recorded: confirmed };
  });
}
