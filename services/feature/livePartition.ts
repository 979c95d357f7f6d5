import { setTimeout as delay } from "node:timers/promises";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, decode, type JsMsg } from "@millrace/bus";
import type { EngineOptions, FeatureSet } from "@millrace/features";
import { AcceptedEventsSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type Clock, describeError, type Logger, MillraceError } from "@millrace/runtime";
import { Announcement } from "./announcement.ts";
import { Backfill, type ReadLog } from "./backfill.ts";
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
  /** Where series that a new version of the app brings are made from. */
  readonly readLog: ReadLog;
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
  readonly #announcement: Announcement;
  #backfill: Backfill | undefined;
  readonly #stopping = new AbortController();
  /** The bucket holds what had been applied up to here before this process began. */
  readonly #writtenBefore: number;
  #consumer: AsyncDisposable | undefined;
  #finished: Promise<void> = Promise.resolve();
  #wake = Promise.withResolvers<void>();
  #writtenSequence: number;
  #savedSequence: number;
  #savedAt: number;
  #savedDefinitions: string;
  /** When the last message came, and how many are waiting behind it. */
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
    parts: { writer: BucketWriter; checkpoints: CheckpointStore; writtenBefore: number; announcement: Announcement },
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
    this.#announcement = parts.announcement;
    this.#savedDefinitions = state.engine.definitions;
    this.#lastMessageAt = options.clock.now();
    this.#metrics = new LiveMetrics(options.app, options.share, state);
  }

  static async start(options: LivePartitionOptions): Promise<LivePartition> {
    const { bus, app, share, set, config, logger } = options;
    const { partition } = share;
    const writer = await BucketWriter.open(bus, app, share);
    const checkpoints = await CheckpointStore.open(bus, app, partition, logger);
    const stream = (await bus.manager.streams.info("ACCEPTED")).state;
    const written = await writer.readWatermark();
    const watermark = Number(written?.streamSequence ?? 0n);
    const stored = await checkpoints.load();
    const engine = { lookBackMs: config.lookBackMs, owns: ownedBy(share) };
    let state = (stored && restore(set, stored, engine, logger)) ?? LiveState.empty(set, engine);
    let writtenBefore = watermark;
    const announced = written === undefined ? "" : (written.definitions ?? set.definitions);
    const isAnother = Math.max(state.position.streamSequence, watermark) > stream.last_seq;
    if (isAnother || state.position.streamSequence + 1 < stream.first_seq) {
      const what = isAnother ? "ends before what was seen of it" : "has lost messages that were not seen";
      const message = `ACCEPTED ${what}; the features of ${app} are made anew from the event log`;
      logger.warn({ app, watermark, firstSequence: stream.first_seq, lastSequence: stream.last_seq }, message);
      state = LiveState.withoutBeginning(set, engine);
      if (isAnother) writtenBefore = 0;
    }
    state.engine.keepFrom(written?.exactFrom === undefined ? -Infinity : timestampMs(written.exactFrom));
    const announcement = new Announcement(state.engine, announced);
    const live = new LivePartition(options, state, { writer, checkpoints, writtenBefore, announcement });
    const fromSequence = state.position.streamSequence + 1;
    live.#consumer = await consumeAccepted(bus, {
      app,
      fromSequence,
      onMessage: (message) => live.#take(message),
      onFailure: options.onFailure,
    });
    live.#finished = live.#run();
    live.#backfill = live.#startBackfill();
    const missing = state.engine.missing.flatMap(({ features }) => features);
    const others = missing.length === 0 ? "" : `; ${missing.join(", ")} will be made from the event log`;
    logger.info(
      { app, partition, fromSequence, writtenBefore, entities: state.engine.size },
      `features of ${app} go on at ${fromSequence}${others}`,
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
    await this.#backfill?.[Symbol.asyncDispose]();
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

  #startBackfill(): Backfill | undefined {
    const { share, readLog, logger } = this.#options;
    return Backfill.start({
      live: this.#state,
      owns: ownedBy(share),
      readLog,
      logger,
      onAdopted: (adopted) => {
        this.#announcement.adopted(new Set(adopted.map(({ hash }) => hash)));
        this.#wake.resolve();
      },
    });
  }

  #take(message: JsMsg): void {
    const { clock, logger, app } = this.#options;
    try {
      const batch = decode(AcceptedEventsSchema, message.data);
      const isNew = this.#state.apply(message.seq, batch);
      if (isNew) this.#metrics.applied(batch, Number(message.timestampNanos / 1_000_000n));
      this.#backfill?.observe(isNew ? batch.events : []);
    } catch (error) {
      this.#state.skip(message.seq);
      logger.error({ err: error, app, sequence: message.seq }, `skipped ${message.seq}: ${describeError(error)}`);
    }
    this.#lastMessageAt = clock.now();
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
    const pauseMs = this.#announcement.isWaiting ? 0 : this.#waiting > 0 ? catchUpFlushMs : idleFlushMs;
    const pause = delay(pauseMs, undefined, { signal: timer.signal }).catch(() => undefined);
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
    // What a backfill has made is kept as soon as it is there.
    if (this.#state.engine.definitions !== this.#savedDefinitions) return true;
    return (
      this.#state.position.streamSequence > this.#savedSequence &&
      clock.now() - this.#savedAt >= config.checkpointIntervalMs
    );
  }

  /** Writes the changed entities and the watermark that covers them. */
  async #flush(everything: boolean): Promise<void> {
    const { position, engine } = this.#state;
    if (position.streamSequence < this.#writtenBefore || this.#announcement.standsStill || !this.#mayWrite) return;
    await this.#takeBack();
    const changed = this.#state.takeDirty(everything);
    const adopted = this.#announcement.take();
    const { definitions } = this.#announcement;
    const removed = this.#expired;
    const entities = adopted.length === 0 ? changed : [...new Set([...changed, ...adopted])];
    const isNews = position.streamSequence !== this.#writtenSequence || definitions !== this.#announcement.announced;
    if (entities.length + removed.length === 0 && !isNews) return;
    const { clock } = this.#options;
    const writing = this.#metrics.writing();
    this.#expired = [];
    try {
      const gone = removed.filter((key) => !engine.keeps(key));
      await this.#writer.write(engine, { entities, removed: gone }, { ...position, definitions });
    } catch (error) {
      this.#expired = removed;
      for (const entity of changed) engine.putBack(entity, position.completeBeforeMs);
      this.#announcement.putBack(adopted);
      writing.failed();
      throw error;
    }
    engine.keepFrom(position.exactFromMs);
    this.#announcement.written(definitions);
    this.#writtenSequence = position.streamSequence;
    this.#writtenAt = clock.now();
    writing.readable(entities.length, this.#writtenAt);
  }

  /** Tells readers of series that are not kept any more, before entities come without them. */
  async #takeBack(): Promise<void> {
    const { lesser } = this.#announcement;
    if (lesser === undefined) return;
    await this.#writer.announceOnly(lesser);
    this.#announcement.written(lesser);
  }

  async #saveCheckpoint(): Promise<void> {
    const { position, engine } = this.#state;
    const isNews = position.streamSequence !== this.#savedSequence || engine.definitions !== this.#savedDefinitions;
    if (!isNews || !this.#mayWrite) return;
    // Out of the bucket first: what the checkpoint has forgotten, nobody would delete.
    const follows = position.streamSequence >= this.#writtenBefore && !this.#announcement.standsStill;
    if (follows) this.#expired.push(...engine.takeExpired());
    if (this.#expired.length > 0) await this.#flush(false);
    const { definitions } = engine;
    const { streamSequence } = this.#state.position;
    await this.#checkpoints.save(this.#state.checkpoint());
    this.#announcement.stored(definitions);
    this.#savedDefinitions = definitions;
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
