import type { ObjectStore } from "@millrace/bus";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { Clock, Logger } from "@millrace/runtime";
import type { BatcherOptions } from "./batcher.ts";
import { Breaker } from "./breaker.ts";
import type { InlineExecutor } from "./inlineExecutor.ts";
import { Lane } from "./lane.ts";
import { batchMetrics } from "./metrics.ts";
import { readArtefact } from "./modelArtefact.ts";
import type { Scheduler } from "./scheduler.ts";
import { type ServedModel, versionOf } from "./servedModel.ts";
import { warmUp } from "./warmUp.ts";
import type { WorkerPool } from "./workers/workerPool.ts";

export type InferenceMode = "auto" | "inline" | "worker";

/**
 * A model whose largest batch runs within this time runs on the service's own thread: for it the way to a worker and back
 * costs several times the run. Measured on 2 cores, CPU of both threads: a worker's batch 67 to 80 µs on top of the run; a
 * run in place 8 to 15 µs in all for a linear model, about 20 µs for 100 trees, batch 1. Until a run ends nothing else can
 * happen on the thread, hence a limit well under any deadline.
 */
export const INLINE_LIMIT_MS = 1;

export interface ModelLoaderOptions {
  readonly objects: ObjectStore;
  readonly workers: Scheduler<WorkerPool>;
  readonly inline: Scheduler<InlineExecutor>;
  readonly mode: InferenceMode;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Brings model versions from the object store into service, and takes them out again. */
export class ModelLoader {
  readonly #options: ModelLoaderOptions;
  /** Versions may share a file: it is unloaded with the last of them. */
  readonly #users = new Map<string, Set<ServedModel>>();
  readonly #where = new Map<ServedModel, Scheduler<WorkerPool | InlineExecutor>>();

  constructor(options: ModelLoaderOptions) {
    this.#options = options;
  }

  /** Reads, proves and loads a version. @throws what `readArtefact` and `warmUp` throw. */
  async load(model: ModelVersion, batch: BatcherOptions): Promise<ServedModel> {
    const { objects, clock, logger, mode, workers, inline } = this.#options;
    const { artefact } = model;
    const version = versionOf(model);
    const bytes = await readArtefact(objects, artefact);
    const costs = await warmUp(model, bytes, batch.maxSize);
    const largestMs = costs.get(batch.maxSize) ?? 0;
    const runsInline = mode === "inline" || (mode === "auto" && largestMs <= INLINE_LIMIT_MS);
    const scheduler: Scheduler<WorkerPool | InlineExecutor> = runsInline ? inline : workers;
    await scheduler.executor.load(artefact, bytes);
    const { executor, wake } = scheduler;
    const columns = model.featureNames.length;
    const lane = new Lane({ version, artefact, columns, batch, executor, clock, metrics: batchMetrics, wake });
    scheduler.add(lane);
    const served: ServedModel = { version, model, lane, breaker: new Breaker() };
    const users = this.#users.get(artefact) ?? new Set();
    this.#users.set(artefact, users.add(served));
    this.#where.set(served, scheduler);
    const runMs = Object.fromEntries([...costs].map(([size, ms]) => [size, Number(ms.toFixed(4))]));
    logger.info(
      { version, artefact, runMs, mode },
      `${version} is warm and runs ${runsInline ? "in place" : "in the workers"}: a batch of ${batch.maxSize} takes ${largestMs.toFixed(3)} ms, the limit for running in place is ${INLINE_LIMIT_MS} ms`,
    );
    return served;
  }

  /** Waits until nobody waits for the version's answers, then frees what it used. */
  async unload(served: ServedModel): Promise<void> {
    const scheduler = this.#where.get(served);
    if (scheduler === undefined) return;
    this.#where.delete(served);
    await served.lane.drained();
    scheduler.remove(served.lane);
    served.lane[Symbol.dispose]();
    const { artefact } = served.model;
    const users = this.#users.get(artefact);
    users?.delete(served);
    const stillThere = [...(users ?? [])].some((user) => this.#where.get(user) === scheduler);
    if (!stillThere) await scheduler.executor.unload(artefact);
    if (users?.size === 0) this.#users.delete(artefact);
  }
}
