import type { ObjectStore } from "@millrace/bus";
import type { Clock, Logger } from "@millrace/runtime";
import { InlineExecutor } from "./inlineExecutor.ts";
import { ModelLoader } from "./modelLoader.ts";
import { Scheduler } from "./scheduler.ts";
import { WorkerPool } from "./workers/workerPool.ts";

export interface ShadowWorkersOptions {
  readonly objects: ObjectStore;
  readonly stuckAfterMs: number;
  readonly maxAbandoned: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called once when too many of its workers are stuck: shadows should be asked no more. */
  readonly onExhausted: () => void;
}

/**
 * Shadows have a worker of their own, started with the first of them: however slow one is, or stuck, no batch that somebody waits for
 * stands behind it.
 */
export class ShadowWorkers implements AsyncDisposable {
  readonly #options: ShadowWorkersOptions;
  #pool: Promise<WorkerPool> | undefined;
  #started: WorkerPool | undefined;
  #loader: Promise<ModelLoader> | undefined;

  constructor(options: ShadowWorkersOptions) {
    this.#options = options;
  }

  loader(): Promise<ModelLoader> {
    this.#loader ??= this.#start();
    return this.#loader;
  }

  get hasStuckThreads(): boolean {
    return this.#started?.hasStuckThreads === true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#pool)?.[Symbol.asyncDispose]();
  }

  async #start(): Promise<ModelLoader> {
    const { objects, clock, logger, ...pool } = this.#options;
    this.#pool = WorkerPool.start({ size: 1, logger, ...pool });
    this.#started = await this.#pool;
    const workers = new Scheduler(this.#started);
    const inline = new Scheduler(new InlineExecutor());
    return new ModelLoader({ objects, workers, inline, mode: "worker", clock, logger });
  }
}
