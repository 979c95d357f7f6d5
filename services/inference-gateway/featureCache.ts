import { setTimeout as delay } from "node:timers/promises";
import { create, fromBinary } from "@bufbuild/protobuf";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, featureBucket, KeyValueWatch, type KV, type KvWatchEntry } from "@millrace/bus";
import type { FeatureSet } from "@millrace/features";
import type { EntityState } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { type Clock, describeError, type Logger, MillraceError } from "@millrace/runtime";
import { type CachedEntity, EntityCache } from "./entityCache.ts";

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

/** Gives the state of an entity by its key; undefined for one without events. */
export type Lookup = (key: string) => EntityState | undefined;

/** What a partition of the features says of itself. */
interface ReadWatermark {
  readonly time: Timestamp;
  readonly ms: number;
  readonly exactFromMs: number;
  readonly partitions: number;
  /** The series that its entities hold whole; undefined: all. */
  readonly definitions: string | undefined;
}

/** A read of the bucket that is under way. */
interface EntityRead {
  /** The revision that the watch has brought meanwhile, and the cache perhaps evicted. */
  readonly newest: { revision: number };
  readonly entity: Promise<CachedEntity>;
}

const WATERMARK = "watermark.";
const RETRY_MS = 250;
const MAX_RETRY_MS = 2_000;
/** A bucket that changes faster than it can be read is used all the same after so long, without a watermark. */
const COHERENCE_PATIENCE_MS = 5_000;
/**
 * A near copy of an app's online features: the whole bucket `features_<app>`, kept coherent by a watch. A watermark is believed when
 * everything that was written before it is here, also what the bucket has replaced since.
 */
export class FeatureCache implements AsyncDisposable {
  readonly #options: FeatureCacheOptions;
  readonly #entities: EntityCache;
  readonly #reads = new Map<string, EntityRead>();
  readonly #watermarks = new Map<string, ReadWatermark>();
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #bucket: KV | undefined;
  #watermarksChanged = false;
  /** What the partitions hold whole, as their watermarks say: the newest, and the newest that is believed. */
  #definitions: ReadonlySet<string> = new Set();
  #believedDefinitions: readonly string[] = [];
  /** Forgotten when the definitions change. */
  #lacking = new WeakMap<FeatureSet, readonly number[]>();
  #asOf: Timestamp | undefined;
  #asOfMs = -Infinity;
  #exactFromMs = -Infinity;
  readonly #waiting = new Set<{ readonly ms: number; readonly resolve: () => void }>();
  #following = false;
  #brokenSince: number;
  #problem = "the app's features have not been read yet";
  #caughtUp = Promise.withResolvers<void>();

  constructor(options: FeatureCacheOptions) {
    this.#options = options;
    this.#entities = new EntityCache(options.maxBytes, options.logger);
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
   * Whether what `lookup` gave is exact, so that it will not be otherwise in a dataset: for a read at `readMs` that counts events known
   * before `knownBeforeMs`. `asOf` is what it was before the look-ups.
   */
  isExact(asOf: Timestamp | undefined, knownBeforeMs: number, readMs: number): boolean {
    return asOf !== undefined && timestampMs(asOf) >= knownBeforeMs && readMs >= this.#exactFromMs;
  }

  /**
   * Places in a vector of the features that cannot be read, because they are still being made from history. Ask before the look-ups and after
   * them: what either says counts.
   */
  lacking(set: FeatureSet): readonly number[] {
    let places = this.#lacking.get(set);
    if (places === undefined) {
      const names = [...this.#definitions].flatMap((definitions) =>
        set.missing(definitions).flatMap(({ features }) => features),
      );
      places = [...new Set(names)].map((name) => set.names.indexOf(name));
      this.#lacking.set(set, places);
    }
    return places;
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
    return this.#entities.bytes;
  }

  get entities(): number {
    return this.#entities.size;
  }

  /** Look-ups that found a state, and that did not. */
  get hits(): number {
    return this.#entities.hits;
  }

  get misses(): number {
    return this.#entities.misses;
  }

  /** An entity's state, for the moment: what is not here may have been evicted, unless `fetch` says otherwise. */
  readonly lookup: Lookup = (key) => this.#entities.lookup(key);

  /**
   * Makes sure of these entities, of which some may have been evicted before. Undefined, at once, when `lookup` has them all now; else a
   * look-up that has them, also when the cache evicts them again meanwhile.
   */
  fetch(keys: () => readonly string[]): Promise<Lookup> | undefined {
    if (!this.#entities.partial || this.#bucket === undefined) return undefined;
    // In use, so that they are not the ones to go when those that are missing come in.
    const held = new Map(keys().map((key) => [key, this.#entities.use(key)]));
    const missing = [...held.keys()].filter((key) => held.get(key) === undefined);
    return missing.length === 0 ? undefined : this.#read(this.#bucket, missing, held);
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
    this.#entities.keepOnly(seen);
    this.#following = true;
    this.#caughtUp.resolve();
    logger.info({ app, entities: this.entities, bytes: this.bytes }, `features of ${app} are in the near cache`);
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
    const read = this.#reads.get(entry.key);
    if (read !== undefined) read.newest.revision = entry.revision;
    if (entry.key.startsWith(WATERMARK)) this.#adoptWatermark(entry);
    else if (entry.operation === "PUT") this.#entities.put(entry.key, entry.value, entry.revision);
    else this.#entities.remove(entry.key);
  }

  #adoptWatermark(entry: KvWatchEntry): void {
    const {
      eventTime: time,
      exactFrom,
      partitions,
      definitions,
    } = entry.operation === "PUT" ? fromBinary(WatermarkSchema, entry.value) : create(WatermarkSchema);
    const exactFromMs = exactFrom === undefined ? -Infinity : timestampMs(exactFrom);
    if (time === undefined) this.#watermarks.delete(entry.key);
    else this.#watermarks.set(entry.key, { time, ms: timestampMs(time), exactFromMs, partitions, definitions });
    this.#watermarksChanged = true;
    // Unlike the time, at once: entities that come before it may have lost what earlier reads need.
    this.#exactFromMs = Math.max(...[...this.#watermarks.values()].map((watermark) => watermark.exactFromMs));
    this.#countDefinitions();
  }

  #newestDefinitions(): string[] {
    return [...this.#watermarks.values()].flatMap(({ definitions }) =>
      definitions === undefined ? [] : [definitions],
    );
  }

  /** What is held no more counts at once, what has come new when it is believed. */
  #countDefinitions(): void {
    const told = new Set([...this.#believedDefinitions, ...this.#newestDefinitions()]);
    if (told.size === this.#definitions.size && told.isSubsetOf(this.#definitions)) return;
    this.#definitions = told;
    this.#lacking = new WeakMap();
  }

  /** Everything that the watermarks read so far cover has been read, too. */
  #believeWatermarks(): void {
    if (!this.#watermarksChanged) return;
    this.#watermarksChanged = false;
    const all = [...this.#watermarks.values()];
    const partitions = Math.max(1, ...all.map((watermark) => watermark.partitions));
    let lowest: { time: Timestamp; ms: number } | undefined;
    for (let partition = 0; partition < partitions; partition += 1) {
      const watermark = this.#watermarks.get(`${WATERMARK}${partition}`);
      // A partition that has not come to its first one yet may have any entity still to write.
      if (watermark === undefined) {
        lowest = undefined;
        break;
      }
      if (lowest === undefined || watermark.ms < lowest.ms) lowest = watermark;
    }
    this.#believedDefinitions = this.#newestDefinitions();
    this.#countDefinitions();
    this.#asOf = lowest?.time;
    this.#asOfMs = lowest?.ms ?? -Infinity;
    for (const waiter of this.#waiting) {
      if (waiter.ms > this.#asOfMs) continue;
      this.#waiting.delete(waiter);
      waiter.resolve();
    }
  }

  async #read(bucket: KV, keys: readonly string[], held: Map<string, CachedEntity | undefined>): Promise<Lookup> {
    await Promise.all(keys.map(async (key) => held.set(key, await this.#readEntity(bucket, key))));
    return (key) => {
      const state = this.#entities.lookup(key);
      const entity = held.get(key);
      return state ?? (entity && this.#entities.stateOf(entity));
    };
  }

  /** Reads an entity from the bucket, once for all who ask at the same time. */
  #readEntity(bucket: KV, key: string): Promise<CachedEntity> {
    const running = this.#reads.get(key);
    if (running !== undefined) return running.entity;
    const newest = { revision: 0 };
    const entity = this.#readNewest(bucket, key, newest);
    this.#reads.set(key, { newest, entity });
    return entity;
  }

  async #readNewest(bucket: KV, key: string, newest: { revision: number }): Promise<CachedEntity> {
    try {
      for (;;) {
        const entry = await bucket.get(key);
        if ((entry?.revision ?? 0) < newest.revision) continue;
        const found = entry?.operation === "PUT";
        // That there is none is remembered, too, until the watch tells otherwise.
        return this.#entities.put(key, found ? entry.value : new Uint8Array(), found ? entry.revision : 0);
      }
    } catch (cause) {
      throw new MillraceError("unavailable", `the features of ${key} cannot be read: ${describeError(cause)}`, {
        cause,
      });
    } finally {
      this.#reads.delete(key);
    }
  }
}
