import { setTimeout as delay } from "node:timers/promises";
import { describeError, type Logger } from "@millrace/runtime";
import type { KV, KvWatchEntry } from "@nats-io/kv";
import { WatchCoherence } from "./watchCoherence.ts";

export interface KeyValueWatchOptions {
  /** Which keys, with wildcards; default: all. */
  readonly key?: string;
  /** Called in order of revision, one after the other; deletions included (`entry.operation`). */
  onEntry(entry: KvWatchEntry): void | Promise<void>;
  /**
   * Called when everything is there that was written before any entry handled so far (see `WatchCoherence`): after the start,
   * perhaps after a moment, and then after entries. For a watch of the whole bucket, whose entries say something about each other.
   */
  readonly onCoherent?: () => void;
  readonly logger: Logger;
  /** Called when the watch ends although nobody stopped it. */
  onFailure(error: unknown): void;
}

const RETRY_MS = 100;

/** Follows a bucket: first what it holds, then every change. */
export class KeyValueWatch implements AsyncDisposable {
  readonly #stop: () => void;
  readonly #finished: Promise<void>;

  private constructor(stop: () => void, finished: Promise<void>) {
    this.#stop = stop;
    this.#finished = finished;
  }

  /** Resolves once everything that the bucket held at the start has been handled; at once when it is asked for certain keys only. */
  static async start(bucket: KV, options: KeyValueWatchOptions): Promise<KeyValueWatch> {
    const initialRevision = options.key === undefined ? await lastRevision(bucket) : 0;
    const iterator = await bucket.watch(options.key === undefined ? {} : { key: options.key });
    let stopped = false;
    const initial = Promise.withResolvers<undefined>();
    if (initialRevision === 0) initial.resolve(undefined);
    const { onCoherent } = options;
    const follow = onCoherent === undefined ? undefined : new CoherentFollower(bucket, onCoherent);
    const finished = (async () => {
      for await (const entry of iterator) {
        try {
          await options.onEntry(entry);
        } catch (error) {
          options.logger.error({ err: error, key: entry.key }, `could not adopt ${entry.key}: ${describeError(error)}`);
        }
        follow?.take(entry.revision);
        // Not by the server's count of what is pending: it need not come to 0 while entries are replaced.
        if (entry.revision >= initialRevision) initial.resolve(undefined);
      }
      follow?.stop();
      initial.resolve(undefined);
      if (!stopped) options.onFailure(new Error(`the watch of ${options.key ?? "a bucket"} ended`));
    })();
    const stop = (): void => {
      stopped = true;
      iterator.stop();
    };
    await initial.promise;
    if (initialRevision === 0) onCoherent?.();
    return new KeyValueWatch(stop, finished);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop();
    await this.#finished;
  }
}

/** Says after each entry whether the watch is coherent, and asks the server how far a hole reaches. */
class CoherentFollower {
  readonly #bucket: KV;
  readonly #onCoherent: () => void;
  readonly #coherence = new WatchCoherence();
  #asking = false;
  #stopped = false;

  constructor(bucket: KV, onCoherent: () => void) {
    this.#bucket = bucket;
    this.#onCoherent = onCoherent;
  }

  take(revision: number): void {
    this.#coherence.take(revision);
    if (this.#coherence.coherent) this.#onCoherent();
    else if (this.#coherence.open && !this.#asking) void this.#close();
  }

  stop(): void {
    this.#stopped = true;
  }

  async #close(): Promise<void> {
    this.#asking = true;
    while (this.#coherence.open && !this.#stopped) {
      const { holes } = this.#coherence;
      try {
        const { streamInfo } = await this.#bucket.status();
        this.#coherence.close(holes, streamInfo.state.last_seq);
      } catch {
        // The server is away; the watch itself notices, and starts again where it was.
        await delay(RETRY_MS);
      }
    }
    this.#asking = false;
    if (this.#coherence.coherent && !this.#stopped) this.#onCoherent();
  }
}

/** Of a bucket's newest entry, deletions included; 0 when there is none. */
async function lastRevision(bucket: KV): Promise<number> {
  const { state } = (await bucket.status()).streamInfo;
  return state.messages === 0 ? 0 : state.last_seq;
}
