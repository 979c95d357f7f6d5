import type { Logger } from "@millrace/runtime";
import { MillraceError } from "@millrace/runtime";
import type { Executor } from "../executor.ts";
import type { TensorValue } from "../tensor.ts";
import { InferenceThread } from "./inferenceThread.ts";

export interface WorkerPoolOptions {
  readonly size: number;
  /** A run that takes longer is given up, and its worker replaced. */
  readonly stuckAfterMs: number;
  /** A native call cannot be interrupted: after so many given up and not ended, the process has to be restarted. */
  readonly maxAbandoned: number;
  readonly logger: Logger;
  /** Called once when more than `maxAbandoned` workers are stuck. */
  readonly onExhausted: () => void;
}

/** Batches that a worker holds: the one that runs, and the next, so that it never waits for the way there and back. */
const RUNS_PER_WORKER = 2;
/** Stopping waits this long for workers that are in a native call. */
const STOP_MS = 3_000;
/** A worker that cannot start is tried again after this long. */
const RESTART_MS = 250;

/**
 * Worker threads with their own ONNX Runtime sessions. Every worker has every model. One that crashes or gets stuck is
 * replaced, its batches fail with `unavailable`; all are replaced one by one after a model was taken away, for ONNX Runtime
 * leaks with every session that is released.
 */
export class WorkerPool implements Executor, AsyncDisposable {
  readonly keepsInputs = true;
  /** Called whenever a worker has become free. */
  onCapacity: () => void = () => undefined;
  readonly #options: WorkerPoolOptions;
  readonly #models = new Map<string, { readonly bytes: Uint8Array; readonly threads: number }>();
  /** Those that take batches. */
  readonly #threads = new Set<InferenceThread>();
  readonly #watch: NodeJS.Timeout;
  /** Those that have been let go and have not ended yet. */
  readonly #leaving = new Set<Promise<void>>();
  #suspects = new Set<InferenceThread>();
  #abandoned = 0;
  #replaced = 0;
  #closing = false;
  #recycling: Promise<void> = Promise.resolve();

  private constructor(options: WorkerPoolOptions) {
    this.#options = options;
    this.#watch = setInterval(() => this.#findStuck(), Math.max(options.stuckAfterMs / 4, 5));
    this.#watch.unref();
  }

  static async start(options: WorkerPoolOptions): Promise<WorkerPool> {
    const pool = new WorkerPool(options);
    await Promise.all(Array.from({ length: options.size }, () => pool.#add()));
    return pool;
  }

  /** Whether a thread is in a native call from which it may never come back. The process can then only be killed. */
  get hasStuckThreads(): boolean {
    return this.#leaving.size > 0;
  }

  /** Workers given up whose native call has not ended yet. */
  get abandoned(): number {
    return this.#abandoned;
  }

  /** Workers replaced because they crashed or got stuck. */
  get replaced(): number {
    return this.#replaced;
  }

  get availability(): "idle" | "busy" | "full" {
    const best = this.#leastLoaded();
    if (best === undefined || best.runs >= RUNS_PER_WORKER) return "full";
    return best.runs === 0 ? "idle" : "busy";
  }

  /** Loads a model into every worker, and into those that come later. @throws `invalid_argument` when it cannot be loaded. */
  async load(artefact: string, bytes: Uint8Array, threads: number): Promise<void> {
    if (this.#threads.size === 0) await this.#add();
    // Before the workers have it, so that one which is just being started does not miss it.
    this.#models.set(artefact, { bytes, threads });
    try {
      await Promise.all([...this.#threads].map((thread) => thread.load(artefact, bytes, threads)));
    } catch (error) {
      this.#models.delete(artefact);
      throw error;
    }
  }

  /** Forgets a model and renews the workers, one by one, while the others serve. */
  unload(artefact: string): Promise<void> {
    if (this.#models.delete(artefact)) this.#recycling = this.#recycling.then(() => this.#recycle());
    return this.#recycling;
  }

  async run(artefact: string, inputs: readonly TensorValue[], wanted: readonly number[]) {
    const thread = this.#leastLoaded();
    if (thread === undefined) throw new MillraceError("unavailable", "no inference worker is running");
    try {
      return await thread.run(artefact, inputs, wanted);
    } finally {
      this.onCapacity();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing = true;
    clearInterval(this.#watch);
    await this.#recycling;
    const threads = [...this.#threads];
    this.#threads.clear();
    const ended = [...threads.map((thread) => thread.abandon("the service stops")), ...this.#leaving];
    const limit = new Promise((resolve) => setTimeout(resolve, STOP_MS).unref());
    await Promise.race([Promise.all(ended), limit]);
  }

  #leastLoaded(): InferenceThread | undefined {
    let best: InferenceThread | undefined;
    for (const thread of this.#threads) if (best === undefined || thread.runs < best.runs) best = thread;
    return best;
  }

  async #add(): Promise<void> {
    const thread = new InferenceThread((ended, why) => this.#crashed(ended, why));
    await thread.ready;
    const loaded = new Set<string>();
    // Models may come while it loads.
    for (
      let missing = [...this.#models];
      missing.length > 0;
      missing = [...this.#models].filter(([a]) => !loaded.has(a))
    )
      for (const [artefact, { bytes, threads }] of missing) {
        await thread.load(artefact, bytes, threads);
        loaded.add(artefact);
      }
    if (this.#closing) await thread.abandon("the service stops");
    else this.#threads.add(thread);
    this.onCapacity();
  }

  #crashed(thread: InferenceThread, why: string): void {
    if (!this.#threads.delete(thread)) return;
    this.#options.logger.error({ why }, `an inference worker crashed: ${why}; it is replaced`);
    this.#replace();
  }

  #replace(): void {
    this.#replaced += 1;
    this.#add().catch((error: unknown) => {
      if (this.#closing) return;
      this.#options.logger.error({ err: error }, "an inference worker could not be started; trying again");
      setTimeout(() => this.#closing || this.#replace(), RESTART_MS).unref();
    });
  }

  /** Stuck is who is over time at two looks in a row: after a pause of the whole process its answer may just be unread. */
  #findStuck(): void {
    const now = performance.now();
    const overTime = [...this.#threads].filter(
      (thread) => now - (thread.busySince ?? now) > this.#options.stuckAfterMs,
    );
    for (const thread of overTime) if (this.#suspects.has(thread)) this.#giveUp(thread);
    this.#suspects = new Set(overTime);
  }

  #giveUp(thread: InferenceThread): void {
    this.#threads.delete(thread);
    this.#abandoned += 1;
    const { stuckAfterMs, maxAbandoned, logger } = this.#options;
    logger.error({ abandoned: this.#abandoned }, `an inference worker ran for over ${stuckAfterMs} ms; it is replaced`);
    this.#leave(thread, `stuck for over ${stuckAfterMs} ms`, () => {
      this.#abandoned -= 1;
    });
    if (this.#abandoned === maxAbandoned + 1) this.#options.onExhausted();
    this.#replace();
  }

  async #recycle(): Promise<void> {
    const present = [...this.#threads];
    for (const old of present) {
      if (this.#closing || !this.#threads.has(old)) continue;
      try {
        await this.#add();
      } catch (error) {
        this.#options.logger.warn({ err: error }, "an inference worker could not be renewed; the old one goes on");
        return;
      }
      this.#threads.delete(old);
      const limit = performance.now() + this.#options.stuckAfterMs;
      while (old.runs > 0 && performance.now() < limit) await new Promise((resolve) => setTimeout(resolve, 5));
      this.#leave(old, "renewed", () => undefined);
    }
  }

  #leave(thread: InferenceThread, why: string, onEnd: () => void): void {
    const leaving = thread.abandon(why).then(() => {
      this.#leaving.delete(leaving);
      onEnd();
    });
    this.#leaving.add(leaving);
  }
}
