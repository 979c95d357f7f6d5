import { createHash } from "node:crypto";
import type { ObjectStore } from "@millrace/bus";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { type Clock, describeError, type Logger, MillraceError } from "@millrace/runtime";
import { type AnswerReader, answerReader } from "./answerReader.ts";
import type { BatcherOptions } from "./batcher.ts";
import { Breaker } from "./breaker.ts";
import { Lane } from "./lane.ts";
import type { LoadedModel, RunPlan } from "./loadedModel.ts";
import { batchMetrics } from "./metrics.ts";
import { readArtefact } from "./modelArtefact.ts";
import type { ModelDirectory } from "./modelDirectory.ts";
import { hasBatchDimension, hasFixedRows, type ReadModel, readModel } from "./modelSignature.ts";
import { warmUpVersion } from "./registryWarmUp.ts";
import { randomSampler } from "./sampleInputs.ts";
import type { Scheduler } from "./scheduler.ts";
import { type ServedModel, versionOf } from "./servedModel.ts";
import { type RunCosts, type WarmedUp, warmUp } from "./warmUp.ts";

export type InferenceMode = "auto" | "inline" | "worker";

/**
 * A model whose largest batch runs within this time runs on the service's own thread: for it the way to a worker and back
 * costs several times the run. Measured on 2 cores, CPU of both threads: a worker's batch 67 to 80 µs on top of the run; a
 * run in place 8 to 15 µs in all for a linear model, about 20 µs for 100 trees, batch 1. Until a run ends nothing else can
 * happen on the thread, hence a limit well under any deadline.
 */
export const INLINE_LIMIT_MS = 1;
/** Of the measured time of one row: what a run takes at the very least, on a quieter machine. */
const LEAST_SHARE = 0.5;
/** Of a model whose inputs have no fixed size. */
const UNKNOWN_COSTS: RunCosts = new Map();
/** Rows calculated together and one by one before a model of the repository is batched. */
const PROOF_ROWS = 8;
/** Sizes tried for dimensions that a model leaves open: not every model runs at each. */
const OPEN_SIZES = [8, 1, 64, 224];

export interface ModelLoaderOptions {
  readonly objects: ObjectStore;
  /** Where what is loaded can be found by name. None: it cannot. */
  readonly directory?: ModelDirectory;
  readonly workers: Scheduler;
  readonly inline: Scheduler;
  readonly mode: InferenceMode;
  /** Most threads inside one run of a worker. Default 1. */
  readonly threads?: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Where a model comes from outside the registry. */
export interface RepositoryModel {
  readonly name: string;
  readonly version: string;
  readonly onnx: Uint8Array;
  readonly batch: BatcherOptions;
  /** False: its rows are never put together. */
  readonly batched: boolean;
}

/** A model that has proven itself. */
interface Admitted {
  readonly name: string;
  readonly version: string;
  readonly artefact: string;
  readonly onnx: ReadModel;
  readonly warm: WarmedUp;
  readonly batch: BatcherOptions;
  readonly reader?: AnswerReader;
}

interface Loaded {
  readonly artefact: string;
  readonly scheduler: Scheduler;
}

/** Brings models into service, and takes them out again. */
export class ModelLoader {
  readonly #options: ModelLoaderOptions;
  readonly #served = new Map<ServedModel, LoadedModel>();
  readonly #loaded = new Map<LoadedModel, Loaded>();
  /** How many models use a file, for each executor. */
  readonly #users = new Map<Scheduler, Map<string, number>>();

  constructor(options: ModelLoaderOptions) {
    this.#options = options;
  }

  /** Reads, proves and loads a version of the registry. @throws what `readArtefact`, `readModel` and `warmUpVersion` throw. */
  async load(model: ModelVersion, batch: BatcherOptions): Promise<ServedModel> {
    const onnx = readModel(await readArtefact(this.#options.objects, model.artefact));
    const warm = await warmUpVersion(model, onnx, batch.maxSize, this.#options.threads);
    const { app, number, artefact } = model;
    const reader = answerReader(model, onnx.signature);
    const loaded = await this.#admit({ name: app, version: String(number), artefact, onnx, warm, batch, reader });
    const served: ServedModel = { version: versionOf(model), model, lane: loaded.lane, breaker: new Breaker() };
    this.#served.set(served, loaded);
    return served;
  }

  /** Waits until nobody waits for the version's answers, then frees what it used. */
  async unload(served: ServedModel): Promise<void> {
    const model = this.#served.get(served);
    this.#served.delete(served);
    if (model !== undefined) await this.unloadModel(model);
  }

  /** Proves and loads a model that no app uses. @throws what `readModel` and `warmUp` throw. */
  async loadModel({ name, version, onnx: file, batch, batched }: RepositoryModel): Promise<LoadedModel> {
    const artefact = createHash("sha256").update(file).digest("hex");
    const onnx = readModel(file);
    const warm = await warmUpAnything(artefact, onnx, batched ? batch.maxSize : 1, this.#options.threads);
    const unbatchedBecause = warm.unbatchedBecause || (batched ? "" : "its configuration says so (max_batch_size 0)");
    return await this.#admit({ name, version, artefact, onnx, warm: { ...warm, unbatchedBecause }, batch });
  }

  /** Waits until nobody waits for its answers, then frees what it used. */
  async unloadModel(model: LoadedModel): Promise<void> {
    const loaded = this.#loaded.get(model);
    if (loaded === undefined) return;
    this.#options.directory?.remove(model);
    this.#loaded.delete(model);
    await model.lane.drained();
    loaded.scheduler.remove(model.lane);
    model.lane[Symbol.dispose]();
    await this.#release(loaded);
  }

  /** Models may share a file: it is loaded with the first of them, and unloaded with the last. */
  async #acquire({ artefact, scheduler }: Loaded, bytes: Uint8Array, threads: number): Promise<void> {
    const users = this.#users.get(scheduler) ?? new Map<string, number>();
    this.#users.set(scheduler, users.set(artefact, (users.get(artefact) ?? 0) + 1));
    try {
      await scheduler.executor.load(artefact, bytes, threads);
    } catch (error) {
      await this.#release({ artefact, scheduler });
      throw error;
    }
  }

  async #release({ artefact, scheduler }: Loaded): Promise<void> {
    const users = this.#users.get(scheduler);
    const left = (users?.get(artefact) ?? 1) - 1;
    users?.set(artefact, left);
    if (left > 0) return;
    users?.delete(artefact);
    await scheduler.executor.unload(artefact);
  }

  async #admit({ name, version, artefact, onnx, warm, batch, reader }: Admitted): Promise<LoadedModel> {
    const { bytes, signature } = onnx;
    const { clock, logger, workers, inline, directory } = this.#options;
    const batched = warm.unbatchedBecause === "";
    const predictable = hasFixedRows(signature) && (batched || !hasBatchDimension(signature));
    const plan = this.#plan(warm, batch.maxSize, predictable);
    const scheduler = plan.inline ? inline : workers;
    await this.#acquire({ artefact, scheduler }, bytes, warm.threads);
    const lane = new Lane({
      version: `${name}/${version}`,
      artefact,
      signature,
      reader,
      batched,
      batch,
      leastRunMs: predictable ? (warm.costs.get(1) ?? 0) * LEAST_SHARE : 0,
      costs: predictable ? warm.costs : UNKNOWN_COSTS,
      executor: scheduler.executor,
      clock,
      metrics: batchMetrics,
      wake: scheduler.wake,
    });
    scheduler.add(lane);
    const model: LoadedModel = { name, version, signature, lane, plan };
    this.#loaded.set(model, { artefact, scheduler });
    directory?.add(model);
    const runMs = Object.fromEntries([...warm.costs].map(([size, ms]) => [size, Number(ms.toFixed(4))]));
    logger.info(
      { version: lane.version, artefact, runMs, mode: this.#options.mode },
      `${lane.version} is warm and runs ${plan.runs}; ${plan.batching}`,
    );
    return model;
  }

  #plan({ unbatchedBecause, costs, threads }: WarmedUp, maxRows: number, predictable: boolean): RunPlan {
    const { mode } = this.#options;
    const largest = Math.max(...costs.keys());
    const largestMs = costs.get(largest) ?? Infinity;
    const inline = mode === "inline" || (mode === "auto" && predictable && largestMs <= INLINE_LIMIT_MS);
    const cost = predictable
      ? `a batch of ${largest} takes ${largestMs.toFixed(3)} ms, the limit for running in place is ${INLINE_LIMIT_MS} ms`
      : "the size of its inputs, and so the time of a run, is open";
    const why = mode === "auto" ? cost : `INFERENCE_MODE is ${mode}; ${cost}`;
    const batching = unbatchedBecause === "" ? `batches of up to ${maxRows} rows` : `unbatched: ${unbatchedBecause}`;
    const where = inline ? "in place" : `in the workers${threads === 1 ? "" : ` with ${threads} threads each`}`;
    return { inline, runs: `${where}: ${why}`, batching, costs };
  }
}

/** Inputs are made up, so a failing trial may be theirs: the model is then served, as carefully as possible. */
async function warmUpAnything(
  artefact: string,
  { bytes, signature }: ReadModel,
  maxRows: number,
  maxThreads = 1,
): Promise<WarmedUp> {
  const proofRows = Math.min(PROOF_ROWS, maxRows);
  const sizes = hasFixedRows(signature) ? [1] : OPEN_SIZES;
  let failure: unknown;
  for (const open of sizes) {
    const sampler = randomSampler(signature, open);
    try {
      return await warmUp({ artefact, bytes, signature, maxRows, proofRows, sampler, maxThreads });
    } catch (error) {
      if (!(error instanceof MillraceError) || error.code !== "failed_precondition") throw error;
      if (error.message.includes("cannot load")) throw error;
      failure = error;
    }
  }
  return {
    unbatchedBecause: `its trial runs failed: ${describeError(failure)}`,
    costs: new Map(),
    threads: 1,
    alone: [],
  };
}
