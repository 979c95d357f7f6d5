import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { durationToMs } from "@millrace/app";
import { type Bus, makeWorkConsumer, trainerJobSubject } from "@millrace/bus";
import { Encoding, type ExternalTrainer, Metric, Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type ExternalJob,
  ExternalJobSchema,
  type ExternalResult,
} from "@millrace/proto/millrace/training/v1/external_pb.ts";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { type Clock, describeError, MillraceError } from "@millrace/runtime";
import type { ModelledApp } from "../appRows.ts";
import type { OnProgress } from "../consumer.ts";
import type { BuiltDataset, DatasetClient } from "../dataset.ts";
import { type Judged, type Judgement, judge } from "../judging.ts";
import type { Matrix } from "../matrix.ts";
import type { Split } from "../split.ts";
import { inModelProcess } from "../upload/modelProcess.ts";
import type { ExternalTask, ExternalTasks } from "./externalTasks.ts";

export interface ExternalParts {
  readonly bus: Bus;
  readonly datasets: DatasetClient;
  readonly tasks: ExternalTasks;
  readonly clock: Clock;
  readonly maxUploadBytes: number;
}

/** A trainer that says nothing for so long has lost its job to another. */
const SILENCE_MS = 30_000;
/** So often a job is given to somebody. */
const MAX_DELIVERIES = 3;
const DEADLINE_MS = 30 * 60_000;
const LOOK_MS = 250;

/** The models that came, judged, and why others did not come. */
export interface ExternalModels {
  readonly judged: readonly Judged[];
  readonly notes: readonly string[];
}

/** An app's trainers outside of Millrace: asked over the bus, waited for until their deadlines, their models judged as any other. */
export class ExternalCandidates {
  readonly #parts: ExternalParts;

  constructor(parts: ExternalParts) {
    this.#parts = parts;
  }

  /**
   * Asks all of them, so that they work while the built-in trainers do. They get a dataset of its own, as it would have been when the
   * holdout began: they can see neither the rows by which they are judged nor labels that became known later.
   */
  async ask(
    job: TrainingJob,
    { app, model }: ModelledApp,
    { rows }: BuiltDataset,
    split: Split,
    signal: AbortSignal,
  ): Promise<ExternalTask[]> {
    if (model.external.length === 0) return [];
    const asOfMs = rows.occurredAtMs[split.holdout[0] ?? 0] as number;
    const firstMs = rows.occurredAtMs[0] as number;
    const dataset = await this.#parts.datasets.describe({ app: app.app, fromMs: firstMs, asOfMs, signal });
    const { contentHash: datasetHash, objects, rows: count } = dataset;
    const common = create(ExternalJobSchema, {
      app: job.app,
      reason: job.reason,
      objects,
      datasetHash,
      rows: count,
      featureNames: [...rows.featureNames],
      task: nameIn(Task, model.task),
      metric: nameIn(Metric, model.metric),
      seed: model.seed,
      maxBytes: BigInt(this.#parts.maxUploadBytes),
    });
    const asked: ExternalTask[] = [];
    for (const trainer of model.external) asked.push(await this.#askOne(trainer, job.id, common));
    return asked;
  }

  /**
   * Waits until every task has its answer or its deadline has passed, and judges what came.
   *
   * @throws `unavailable` when the bus is away; the signal's reason
   */
  async collect(
    asked: readonly ExternalTask[],
    holdout: Matrix,
    judgement: Judgement,
    signal: AbortSignal,
    onProgress: OnProgress,
  ): Promise<ExternalModels> {
    const judged: Judged[] = [];
    const notes: string[] = [];
    for (const task of asked) {
      onProgress(`waiting for the trainer ${task.trainer}`);
      try {
        judged.push(await this.#judge(await this.#answerOf(task, signal), holdout, judgement, signal));
      } catch (error) {
        // What one trainer does wrong stops no other candidate.
        if (signal.aborted || !(error instanceof MillraceError) || error.code === "unavailable") throw error;
        notes.push(`The trainer ${task.trainer} gave no model that can be judged: ${describeError(error)}.`);
      }
    }
    return { judged, notes };
  }

  async #askOne(
    { name, deadline, encoding }: ExternalTrainer,
    jobId: string,
    common: ExternalJob,
  ): Promise<ExternalTask> {
    const { bus, tasks, clock } = this.#parts;
    const id = `${jobId}/${name}`;
    const deadlineMs = clock.now() + (durationToMs(deadline) ?? DEADLINE_MS);
    const task = await tasks.ask(jobId, { id, trainer: name, deadlineMs });
    if (task.result !== undefined || task.deadlineMs <= clock.now()) return task;
    const subject = trainerJobSubject(name);
    const shared = { silenceMs: SILENCE_MS, maxDeliveries: MAX_DELIVERIES };
    await makeWorkConsumer(bus, { stream: "TRAINERS", durable: name, filter: subject, ...shared });
    const job = create(ExternalJobSchema, { ...common, id, trainer: name, deadline: timestampFromMs(task.deadlineMs) });
    const json = encoding !== Encoding.PROTOBUF;
    const data = json
      ? Buffer.from(toJsonString(ExternalJobSchema, job, { useProtoFieldName: true, alwaysEmitImplicit: true }))
      : toBinary(ExternalJobSchema, job);
    const headers = { "Content-Type": json ? "application/json" : "application/protobuf" };
    await bus.publishBytes(subject, data, { id, headers });
    return task;
  }

  /** @throws `deadline_exceeded` when nothing came in time */
  async #answerOf({ id, deadlineMs }: ExternalTask, signal: AbortSignal): Promise<ExternalResult> {
    const { tasks, clock } = this.#parts;
    for (;;) {
      const result = (await tasks.get(id))?.result;
      if (result !== undefined) return result;
      if (clock.now() >= deadlineMs) {
        throw new MillraceError("deadline_exceeded", "nothing came by its deadline (model.external)");
      }
      await sleep(LOOK_MS, undefined, { signal });
    }
  }

  async #judge(result: ExternalResult, holdout: Matrix, judgement: Judgement, signal: AbortSignal): Promise<Judged> {
    const beganMs = performance.now();
    if (result.failure !== "") throw new MillraceError("failed_precondition", `it says: ${result.failure}`);
    const file = await this.#fetch(result);
    const { onnx } = await inModelProcess("check", { onnx: file, columns: holdout.columns.length }, signal);
    const parameters = JSON.stringify({ made_with: result.madeWith, ...parametersOf(result) });
    const measured = await judge(onnx, holdout, judgement);
    const seconds = (performance.now() - beganMs) / 1_000;
    return { algorithm: `external:${result.trainer}`, onnx, parameters, importance: [], seconds, ...measured };
  }

  async #fetch({ object, sha256 }: ExternalResult): Promise<Uint8Array> {
    const { bus, maxUploadBytes } = this.#parts;
    const store = await bus.objects("trained");
    const info = await store.info(object);
    if (info === null || info.deleted)
      throw new MillraceError("not_found", `there is no file "${object}" in the object store trained`);
    if (info.size > maxUploadBytes) {
      throw new MillraceError(
        "invalid_argument",
        `its file has ${info.size} bytes; at most ${maxUploadBytes} are taken (TRAINING_MAX_UPLOAD_BYTES)`,
      );
    }
    const file = await store.getBlob(object).catch((cause: unknown) => {
      throw new MillraceError("data_loss", `its file "${object}" is not readable: ${describeError(cause)}`, { cause });
    });
    const found = createHash("sha256")
      .update(file ?? "")
      .digest("hex");
    if (file === null || found !== sha256) {
      throw new MillraceError("data_loss", `its file has the SHA-256 ${found}, not ${sha256}`);
    }
    return file;
  }
}

function parametersOf({ parameters }: ExternalResult): Record<string, unknown> {
  if (parameters === "") return {};
  try {
    const value: unknown = JSON.parse(parameters);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Told below.
  }
  throw new MillraceError("invalid_argument", `its parameters are no JSON object: ${parameters.slice(0, 80)}`);
}

/** `LOG_LOSS` */
const nameIn = (names: Readonly<Record<string, number>>, value: number): string =>
  Object.entries(names).find(([, known]) => known === value)?.[0] ?? "";
