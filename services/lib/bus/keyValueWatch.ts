import { describeError, type Logger } from "@millrace/runtime";
import type { KV, KvWatchEntry } from "@nats-io/kv";

export interface KeyValueWatchOptions {
  /** A key with wildcards; default: all. */
  readonly key?: string;
  /** Called in order of revision, one after the other; deletions included (`entry.operation`). */
  onEntry(entry: KvWatchEntry): void | Promise<void>;
  readonly logger: Logger;
  /** Called when the watch ends although nobody stopped it. */
  onFailure(error: unknown): void;
}

/** Follows a bucket: first what it holds, then every change. */
export class KeyValueWatch implements AsyncDisposable {
  readonly #stop: () => void;
  readonly #finished: Promise<void>;

  private constructor(stop: () => void, finished: Promise<void>) {
    this.#stop = stop;
    this.#finished = finished;
  }

  /** Resolves once everything that the bucket held at the start has been handled. */
  static async start(bucket: KV, options: KeyValueWatchOptions): Promise<KeyValueWatch> {
    const key = options.key ?? ">";
    const empty = !(await holdsAny(bucket, key));
    const iterator = await bucket.watch({ key });
    let stopped = false;
    let caughtUp: () => void = () => undefined;
    const initial = new Promise<void>((resolve) => {
      caughtUp = resolve;
    });
    if (empty) caughtUp();
    const finished = (async () => {
      for await (const entry of iterator) {
        try {
          await options.onEntry(entry);
        } catch (error) {
          options.logger.error({ err: error, key: entry.key }, `could not adopt ${entry.key}: ${describeError(error)}`);
        }
        if (entry.delta === 0) caughtUp();
      }
      caughtUp();
      if (!stopped) options.onFailure(new Error(`the watch of ${key} ended`));
    })();
    const stop = (): void => {
      stopped = true;
      iterator.stop();
    };
    await initial;
    return new KeyValueWatch(stop, finished);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop();
    await this.#finished;
  }
}

async function holdsAny(bucket: KV, key: string): Promise<boolean> {
  const keys = await bucket.keys(key);
  for await (const _ of keys) {
    keys.stop();
    return true;
  }
  return false;
}
