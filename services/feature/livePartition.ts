import { setTimeout as delay } from "node:timers/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, decode, type JsMsg } from "@millrace/bus";
import type { EngineOptions, FeatureSet } from "@millrace/features";
import { AcceptedEventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type Clock, describeError, type Logger, MillraceError } from "@millrace/runtime";
import { BucketWriter } from "./bucketWriter.ts";
import { CheckpointStore } from "./checkpointStore.ts";
import type { Config } from "./config.ts";
import { consumeAccepted } from "./consumer.ts";
import { LiveState } from "./liveState.ts";
import { LiveMetrics } from "./metrics.ts";
import { ownedBy, type Share } from "./partitioning.ts";

export interface LivePartitionOptions {
  readonly bus: Bus;
  readonly app: string;
  /** Which of the app's entities are kept here. */
  readonly share: Share;
  readonly set: FeatureSet;
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether this process still has the partition: nothing is written otherwise. Default: always. */
  readonly mayWrite?: () => boolean;
  /** Somebody else has written the partition: this one has stopped, and whoever goes on has to begin from what is stored. */
  readonly onFenced?: (error: unknown) => void;
  readonly onFailure: (error: unknown) => void;
}

const RETRY_MS = 200;

/**
 * Keeps a partition of one app's features live: ACCEPTED in, the bucket `features_<app>` out, a checkpoint now and then. After a kill it goes on from
 * the checkpoint, and writes nothing until it has come as far as the bucket already is, so that no reader goes back in time.
 */
export class LivePartition implements AsyncDisposable {
  readonly set: FeatureSet;
  readonly #options: LivePartitionOptions;
  readonly #state: LiveState;
  readonly #writer: BucketWriter;
  readonly #checkpoints: CheckpointStore;
  readonly #metrics: LiveMetrics;
  readonly #stopping = new AbortController();
  /** The bucket holds what had been applied up to here before this process began. */
  readonly #writtenBefore: number;
  #consumer: AsyncDisposable | undefined;
  #finished: Promise<void> = Promise.resolve();
  #wake = Promise.withResolvers<void>();
  #writtenSequence: number;
  #savedSequence: number;
  #savedAt: number;
  /** When the first message came that is not readable yet, when the last one, and how many are waiting behind it. */
  #waitingSince: number | undefined;
  #lastMessageAt: number;
  #waiting = 0;
  #writtenAt = -Infinity;
  /** Keys of entities that are to be deleted from the bucket. */
  #expired: string[] = [];
  /** Somebody else has written, or may write, the partition. */
  #fenced = false;

  private constructor(
    options: LivePartitionOptions,
    state: LiveState,
    parts: { writer: BucketWriter; checkpoints: CheckpointStore; writtenBefore: number },
  ) {
    this.set = options.set;
    this.#options = options;
    this.#state = state;
    this.#writer = parts.writer;
    this.#checkpoints = parts.checkpoints;
    this.#writtenBefore = parts.writtenBefore;
    this.#writtenSequence = state.position.streamSequence;
    this.#savedSequence = state.position.streamSequence;
    this.#savedAt = options.clock.now();
    this.#lastMessageAt = options.clock.now();
    this.#metrics = new LiveMetrics(options.app, options.share, state);
  }

  static async start(options: LivePartitionOptions): Promise<LivePartition> {
    const { bus, app, share, set, config, logger } = options;
    const { partition } = share;
    const writer = await BucketWriter.open(bus, app, share);
    const checkpoints = await CheckpointStore.open(bus, app, partition, logger);
    const lastSequence = (await bus.manager.streams.info("ACCEPTED")).state.last_seq;
    const written = await writer.readWatermark();
    const watermark = Number(written?.streamSequence ?? 0n);
    const stored = await checkpoints.load();
    const engine = { lookBackMs: config.lookBackMs, owns: ownedBy(share) };
    let state = (stored && restore(set, stored, engine, logger)) ?? LiveState.empty(set, engine);
    let writtenBefore = watermark;
    if (Math.max(state.position.streamSequence, watermark) > lastSequence) {
      // Somebody made the stream anew; what was kept belongs to another one.
      logger.warn({ app, watermark, lastSequence }, `ACCEPTED ends before what ${app} has seen of it; beginning again`);
      state = LiveState.empty(set, engine);
      writtenBefore = 0;
    }
    state.engine.keepFrom(written?.exactFrom === undefined ? -Infinity : timestampMs(written.exactFrom));
    const live = new LivePartition(options, state, { writer, checkpoints, writtenBefore });
    const fromSequence = state.position.streamSequence + 1;
    live.#consumer = await consumeAccepted(bus, {
      app,
      fromSequence,
      onMessage: (message) => live.#take(message),
      onFailure: options.onFailure,
    });
    live.#finished = live.#run();
    logger.info(
      { app, partition, fromSequence, writtenBefore, entities: state.engine.size },
      `features of ${app} go on at ${fromSequence}`,
    );
    return live;
  }

  /** Stops at once and writes nothing any more: somebody else has the partition, or may have it. */
  async abandon(): Promise<void> {
    this.#fenced = true;
    await this[Symbol.asyncDispose]();
  }

  /** Stops reading, writes what has changed, and keeps a last checkpoint. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#consumer?.[Symbol.asyncDispose]();
    this.#stopping.abort();
    this.#wake.resolve();
    await this.#finished;
    try {
      if (!this.#fenced) await this.#flush(true);
      if (!this.#fenced) await this.#saveCheckpoint();
    } catch (error) {
      const message = `stopped before all was written (${describeError(error)}); the next start makes up for it`;
      this.#options.logger.warn({ err: error, app: this.#options.app }, message);
    }
    this.#writer[Symbol.dispose]();
    this.#metrics[Symbol.dispose]();
  }

  #take(message: JsMsg): void {
    const { clock, logger, app } = this.#options;
    try {
      const batch = decode(AcceptedEventsSchema, message.data);
      if (this.#state.apply(message.seq, batch)) this.#metrics.applied(batch);
    } catch (error) {
      this.#state.skip(message.seq);
      logger.error({ err: error, app, sequence: message.seq }, `skipped ${message.seq}: ${describeError(error)}`);
    }
    this.#lastMessageAt = clock.now();
    this.#waitingSince ??= this.#lastMessageAt;
    this.#waiting = message.info.pending;
    this.#wake.resolve();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.#change();
      try {
        const idle = this.#idle;
        if (idle) this.#state.settle();
        if (this.#flushIsDue) await this.#flush(idle);
        if (this.#checkpointIsDue) await this.#saveCheckpoint();
      } catch (error) {
        if (error instanceof MillraceError && error.code === "failed_precondition") {
          this.#fenced = true;
          (this.#options.onFenced ?? this.#options.onFailure)(error);
          return;
        }
        const message = `features of ${this.#options.app} are tried again: ${describeError(error)}`;
        this.#options.logger.warn({ err: error, app: this.#options.app }, message);
        await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** Waits until messages have come, or it is time for what does not wait for them. */
  async #change(): Promise<void> {
    const { catchUpFlushMs, idleFlushMs } = this.#options.config;
    const timer = new AbortController();
    const pause = delay(this.#waiting > 0 ? catchUpFlushMs : idleFlushMs, undefined, {
      signal: timer.signal,
    }).catch(() => undefined);
    await Promise.race([this.#wake.promise, pause]);
    timer.abort();
    this.#wake = Promise.withResolvers<void>();
    // Messages that have arrived together are applied together.
    await new Promise(setImmediate);
  }

  get #mayWrite(): boolean {
    return !this.#fenced && (this.#options.mayWrite?.() ?? true);
  }

  get #idle(): boolean {
    const { clock, config } = this.#options;
    return clock.now() - this.#lastMessageAt >= config.idleFlushMs;
  }

  get #flushIsDue(): boolean {
    const { clock, config } = this.#options;
    return this.#waiting === 0 || clock.now() - this.#writtenAt >= config.catchUpFlushMs;
  }

  get #checkpointIsDue(): boolean {
    const { clock, config } = this.#options;
    return (
      this.#state.position.streamSequence > this.#savedSequence &&
      clock.now() - this.#savedAt >= config.checkpointIntervalMs
    );
  }

  /** Writes the changed entities and the watermark that covers them. */
  async #flush(everything: boolean): Promise<void> {
    const { position, engine } = this.#state;
    if (position.streamSequence < this.#writtenBefore || !this.#mayWrite) return;
    const entities = this.#state.takeDirty(everything);
    const removed = this.#expired;
    if (entities.length + removed.length === 0 && position.streamSequence === this.#writtenSequence) return;
    const { clock } = this.#options;
    const waitingSince = this.#waitingSince;
    this.#waitingSince = undefined;
    this.#expired = [];
    try {
      await this.#writer.write(engine, { entities, removed: removed.filter((key) => !engine.keeps(key)) }, position);
    } catch (error) {
      this.#expired = removed;
      for (const entity of entities) engine.putBack(entity, position.completeBeforeMs);
      this.#waitingSince = waitingSince;
      throw error;
    }
    engine.keepFrom(position.exactFromMs);
    this.#writtenSequence = position.streamSequence;
    this.#writtenAt = clock.now();
    this.#metrics.readable(entities.length, waitingSince === undefined ? 0 : this.#writtenAt - waitingSince);
  }

  async #saveCheckpoint(): Promise<void> {
    const { streamSequence } = this.#state.position;
    if (streamSequence === this.#savedSequence || !this.#mayWrite) return;
    // Out of the bucket first: what the checkpoint has forgotten, nobody would delete.
    if (streamSequence >= this.#writtenBefore) this.#expired.push(...this.#state.engine.takeExpired());
    if (this.#expired.length > 0) await this.#flush(false);
    const checkpoint = this.#state.checkpoint();
    await this.#checkpoints.save(checkpoint);
    this.#savedSequence = streamSequence;
    this.#savedAt = this.#options.clock.now();
  }
}

/** Goes on from a checkpoint; one that is damaged is left out, as if there were none. */
function restore(set: FeatureSet, stored: Uint8Array, options: EngineOptions, logger: Logger): LiveState | undefined {
  try {
    return LiveState.restore(set, stored, options);
  } catch (error) {
    logger.warn({ err: error }, describeError(error));
    return undefined;
  }
}
