import { setTimeout as delay } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, featureBucket, KeyValueWatch, type KV, type KvWatchEntry } from "@millrace/bus";
import { type EntityState, EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { type Clock, describeError, type Logger, MillraceError } from "@millrace/runtime";

export interface FeatureCacheOptions {
  readonly bus: Bus;
  readonly app: string;
  /** Most bytes of entity state to keep, decoded ones estimated; beyond it the least recently used are read when needed. */
  readonly maxBytes: number;
  /** How long predictions go on with what is known after the connection to NATS broke. */
  readonly graceMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface CacheEntry {
  /** The stored bytes, until they are decoded for the first time. */
  bytes: Uint8Array | undefined;
  state: EntityState | undefined;
  readonly revision: number;
  cost: number;
}

const WATERMARK = "watermark.";
const RETRY_MS = 250;
const MAX_RETRY_MS = 2_000;
/** A bucket that changes faster than it can be read is used all the same after so long, without a watermark. */
const COHERENCE_PATIENCE_MS = 5_000;
/** What an entry costs besides its bytes, and how much its bytes grow when decoded. */
const ENTRY_COST = 200;
const DECODED_FACTOR = 6;

/**
 * A near copy of an app's online features: the whole bucket `features_<app>`, kept coherent by a watch. A watermark is believed when
 * everything that was written before it is here, also what the bucket has replaced since.
 */
export class FeatureCache implements AsyncDisposable {
  hits = 0;
  misses = 0;
  readonly #options: FeatureCacheOptions;
  readonly #entries = new Map<string, CacheEntry>();
  readonly #watermarks = new Map<string, { time: Timestamp; ms: number }>();
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #bucket: KV | undefined;
  #watermarksChanged = false;
  #asOf: Timestamp | undefined;
  #asOfMs = -Infinity;
  readonly #waiting = new Set<{ readonly ms: number; readonly resolve: () => void }>();
  #bytes = 0;
  /** Entries have been evicted: an entity that is not here may be in the bucket. */
  #partial = false;
  #following = false;
  #brokenSince: number;
  #problem = "the app's features have not been read yet";
  #caughtUp = Promise.withResolvers<void>();

  constructor(options: FeatureCacheOptions) {
    this.#options = options;
    this.#brokenSince = -Infinity;
    this.#running = this.#follow();
  }

  /** Resolves when the bucket has been read for the first time, or its first try has failed. */
  get firstRead(): Promise<void> {
    return this.#caughtUp.promise;
  }

  /** Why the features cannot be used now, or undefined when they can. */
  problem(): string | undefined {
    if (this.#following && !this.#options.bus.connection.isClosed() && this.#connected) return undefined;
    if (this.#options.clock.now() - this.#brokenSince <= this.#options.graceMs) return undefined;
    return `features are not followed: ${this.#problem}`;
  }

  /** Every event known before this is in what `lookup` gives; undefined before the first watermark. */
  get asOf(): Timestamp | undefined {
    return this.#asOf;
  }

  /**
   * Waits until every event known before `ms` is in what `lookup` gives. Undefined, at once, when it is so already. Who waits no
   * longer has to dispose of it.
   */
  untilKnown(ms: number): ({ readonly come: Promise<void> } & Disposable) | undefined {
    if (this.#asOfMs >= ms) return undefined;
    const { promise: come, resolve } = Promise.withResolvers<void>();
    const waiter = { ms, resolve };
    this.#waiting.add(waiter);
    return { come, [Symbol.dispose]: () => this.#waiting.delete(waiter) };
  }

  get bytes(): number {
    return this.#bytes;
  }

  get entities(): number {
    return this.#entries.size;
  }

  /** An entity's state; undefined for one without events. Decoded when first asked for. */
  readonly lookup = (key: string): EntityState | undefined => {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.misses += 1;
      return undefined;
    }
    this.hits += 1;
    if (this.#partial) {
      this.#entries.delete(key);
      this.#entries.set(key, entry);
    }
    if (entry.bytes !== undefined) this.#decode(key, entry);
    return entry.state;
  };

  /** Makes sure that `lookup` knows these entities. Undefined, at once, unless some had to be evicted before. */
  fetch(keys: () => readonly string[]): Promise<void> | undefined {
    if (!this.#partial || this.#bucket === undefined) return undefined;
    const missing = keys().filter((key) => !this.#entries.has(key));
    return missing.length === 0 ? undefined : this.#read(this.#bucket, missing);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  #connected = true;

  async #follow(): Promise<void> {
    const { signal } = this.#stopping;
    void this.#followConnection();
    for (let waitMs = RETRY_MS; !signal.aborted; waitMs = Math.min(waitMs * 2, MAX_RETRY_MS)) {
      try {
        await this.#watchOnce();
        waitMs = RETRY_MS;
      } catch (error) {
        const text = describeError(error);
        const { app } = this.#options;
        this.#problem = /not found/.test(text)
          ? `the bucket ${featureBucket(app)} does not exist (yet); the feature service makes it when it adopts the app`
          : text;
      }
      this.#caughtUp.resolve();
      await delay(waitMs, undefined, { signal }).catch(() => undefined);
    }
  }

  async #followConnection(): Promise<void> {
    for await (const status of this.#options.bus.connection.status()) {
      if (this.#stopping.signal.aborted) return;
      if (status.type === "disconnect") {
        this.#connected = false;
        this.#broken("NATS is not connected");
      } else if (status.type === "reconnect") this.#connected = true;
    }
  }

  /** Reads and follows the bucket until the watch ends. */
  async #watchOnce(): Promise<void> {
    const { bus, app, logger } = this.#options;
    const ended = Promise.withResolvers<unknown>();
    const coherent = Promise.withResolvers<undefined>();
    const stopped = Promise.withResolvers<undefined>();
    this.#stopping.signal.addEventListener("abort", () => stopped.resolve(undefined), { once: true });
    this.#bucket = await bus.keyValue(featureBucket(app));
    const seen = new Set<string>();
    let reading = true;
    await using _watch = await KeyValueWatch.start(this.#bucket, {
      logger,
      onFailure: ended.resolve,
      onEntry: (entry) => {
        if (reading) seen.add(entry.key);
        this.#adopt(entry);
      },
      onCoherent: () => {
        coherent.resolve(undefined);
        this.#believeWatermarks();
      },
    });
    const patience = new AbortController();
    const enough = delay(COHERENCE_PATIENCE_MS, undefined, { signal: patience.signal }).catch(() => undefined);
    await Promise.race([coherent.promise, ended.promise, stopped.promise, enough]);
    patience.abort();
    reading = false;
    // What was deleted while nobody looked.
    for (const [key, entry] of this.#entries) if (!seen.has(key) && entry.revision > 0) this.#remove(key);
    this.#following = true;
    this.#caughtUp.resolve();
    logger.info({ app, entities: this.#entries.size, bytes: this.#bytes }, `features of ${app} are in the near cache`);
    const failure = await Promise.race([ended.promise, stopped.promise]);
    if (failure !== undefined) this.#broken(describeError(failure));
    this.#following = false;
    if (failure === undefined) return;
    logger.warn({ err: failure, app }, `the watch of the features of ${app} broke; starting it again`);
  }

  #broken(problem: string): void {
    this.#problem = problem;
    if (this.#following) this.#brokenSince = this.#options.clock.now();
  }

  #adopt(entry: KvWatchEntry): void {
    if (entry.key.startsWith(WATERMARK)) this.#adoptWatermark(entry);
    else if (entry.operation === "PUT") this.#put(entry.key, entry.value, entry.revision);
    else this.#remove(entry.key);
  }

  #adoptWatermark(entry: KvWatchEntry): void {
    const time = entry.operation === "PUT" ? fromBinary(WatermarkSchema, entry.value).eventTime : undefined;
    if (time === undefined) this.#watermarks.delete(entry.key);
    else this.#watermarks.set(entry.key, { time, ms: timestampMs(time) });
    this.#watermarksChanged = true;
  }

  /** Everything that the watermarks read so far cover has been read, too. */
  #believeWatermarks(): void {
    if (!this.#watermarksChanged) return;
    this.#watermarksChanged = false;
    let lowest: { time: Timestamp; ms: number } | undefined;
    for (const watermark of this.#watermarks.values()) {
      if (lowest === undefined || watermark.ms < lowest.ms) lowest = watermark;
    }
    this.#asOf = lowest?.time;
    this.#asOfMs = lowest?.ms ?? -Infinity;
    for (const waiter of this.#waiting) {
      if (waiter.ms > this.#asOfMs) continue;
      this.#waiting.delete(waiter);
      waiter.resolve();
    }
  }

  #put(key: string, bytes: Uint8Array, revision: number): void {
    const known = this.#entries.get(key);
    if (known !== undefined && known.revision > revision) return;
    const cost = ENTRY_COST + bytes.length;
    this.#bytes += cost - (known?.cost ?? 0);
    this.#entries.set(key, { bytes, state: undefined, revision, cost });
    this.#evict();
  }

  #remove(key: string): void {
    this.#bytes -= this.#entries.get(key)?.cost ?? 0;
    this.#entries.delete(key);
  }

  #decode(key: string, entry: CacheEntry): void {
    const bytes = entry.bytes as Uint8Array;
    entry.bytes = undefined;
    try {
      entry.state = fromBinary(EntityStateSchema, bytes);
    } catch (error) {
      this.#options.logger.error({ err: error, key }, `the state of ${key} cannot be read: ${describeError(error)}`);
    }
    const cost = ENTRY_COST + bytes.length * DECODED_FACTOR;
    this.#bytes += cost - entry.cost;
    entry.cost = cost;
  }

  #evict(): void {
    if (this.#bytes <= this.#options.maxBytes) return;
    this.#partial = true;
    for (const [key] of this.#entries) {
      this.#remove(key);
      if (this.#bytes <= this.#options.maxBytes * 0.95) return;
    }
  }

  async #read(bucket: KV, keys: readonly string[]): Promise<void> {
    await Promise.all(
      keys.map(async (key) => {
        const entry = await bucket.get(key).catch((cause: unknown) => {
          throw new MillraceError("unavailable", `the features of ${key} cannot be read: ${describeError(cause)}`, {
            cause,
          });
        });
        if (entry?.operation === "PUT") this.#put(key, entry.value, entry.revision);
        // Remember that there is none, until the watch tells otherwise.
        else this.#put(key, new Uint8Array(), 0);
      }),
    );
  }
}
