import { createHash, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Bus, trainingJobSubject } from "@millrace/bus";
import { TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { ModelOriginSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import {
  type UploadHeader,
  type UploadModelRequest,
  type UploadModelResponse,
  UploadModelResponseSchema,
} from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import type { Call } from "@millrace/rpc";
import { type Clock, MillraceError } from "@millrace/runtime";
import { modelledApp } from "../appRows.ts";
import type { Artefacts } from "../artefacts.ts";
import type { JobStore } from "../jobStore.ts";
import type { TrainingStore } from "../store.ts";
import { resolveColumns } from "./columns.ts";
import { inModelProcess } from "./modelProcess.ts";
import { readFile, readHeader } from "./receive.ts";
import type { Upload, Uploads } from "./uploads.ts";

export interface UploadParts {
  readonly bus: Bus;
  readonly store: TrainingStore;
  readonly jobs: JobStore;
  readonly uploads: Uploads;
  readonly artefacts: Artefacts;
  readonly clock: Clock;
  /** Longest file taken. */
  readonly maxUploadBytes: number;
}

/** Of a job that judges an upload. */
export const UPLOAD_TRIGGER = "upload";
/** Uploads taken at the same time: each has its file in memory, and a process that tries it. */
const MAX_AT_ONCE = 2;
const RETRY_MS = 5_000;
/** How often a job that is being waited for is looked at. */
const LOOK_MS = 100;
/** An upload of which nothing comes for so long gives its place to others. */
const STALL_MS = 60_000;
/** Progress is told whenever so many more bytes have come. */
const PROGRESS_BYTES = 4 << 20;

/** Takes uploads: receives, checks and stores the file, has it judged by a job, and waits for the verdict. */
export class UploadCalls {
  readonly #parts: UploadParts;
  #running = 0;

  constructor(parts: UploadParts) {
    this.#parts = parts;
  }

  async *take(requests: AsyncIterable<UploadModelRequest>, { signal }: Call): AsyncGenerator<UploadModelResponse> {
    const messages = requests[Symbol.asyncIterator]();
    const header = await readHeader(messages, this.#parts.maxUploadBytes);
    if (this.#running >= MAX_AT_ONCE) {
      throw new MillraceError("resource_exhausted", `${MAX_AT_ONCE} models are being uploaded; try again in a while`, {
        retryAfterMs: RETRY_MS,
      });
    }
    this.#running += 1;
    let upload: Upload;
    let knownBefore = false;
    try {
      const received = yield* this.#receive(messages, header);
      yield progress("checking", received.file.length);
      const before = await this.#parts.uploads.like(header.app, received.requestHash);
      knownBefore = before !== undefined;
      upload = before ?? (await this.#keep(received, signal));
    } finally {
      this.#running -= 1;
    }
    yield* this.#judged(upload, knownBefore, signal);
  }

  async *#receive(
    messages: AsyncIterator<UploadModelRequest>,
    header: UploadHeader,
  ): AsyncGenerator<UploadModelResponse, Received> {
    const { app } = await modelledApp(this.#parts.bus, header.app);
    let received = 0;
    let changedMs = performance.now();
    const reading = readFile(messages, header, (bytes) => {
      received = bytes;
      changedMs = performance.now();
    });
    // It reads by itself; how far it is, is told between two looks at it.
    let told = 0;
    let file: Uint8Array | undefined;
    while (file === undefined) {
      file = await Promise.race([reading, sleep(LOOK_MS, undefined)]);
      if (file === undefined && performance.now() - changedMs > STALL_MS) {
        const came = `${received} of ${header.bytes} bytes came, and none for ${STALL_MS / 1_000} s`;
        throw new MillraceError("deadline_exceeded", `${came}; upload the model again`);
      }
      if (file === undefined && received - told < PROGRESS_BYTES) continue;
      told = received;
      yield progress("receiving", received);
    }
    const columns = resolveColumns(file, header.columns, Object.keys(app.features).toSorted());
    return { header, file, columns, requestHash: requestHashOf(header, columns) };
  }

  /** Stores the file as it came, and in the form of a version. */
  async #keep({ header, file, columns, requestHash }: Received, signal: AbortSignal): Promise<Upload> {
    const { artefacts, uploads, clock } = this.#parts;
    const checked = await inModelProcess("check", { onnx: file, columns: columns.length }, signal);
    await artefacts.put(file);
    const artefact = await artefacts.put(checked.onnx);
    const { app, author, trainer, notes, sha256, bytes, quantize } = header;
    const uploadedAt = timestampFromMs(clock.now());
    const adaptations = [...checked.adaptations];
    const origin = create(ModelOriginSchema, { author, trainer, notes, sha256, bytes, uploadedAt, adaptations });
    return uploads.keep({ jobId: randomUUID(), app, requestHash, artefact, columns, origin, quantize });
  }

  /** Asks for the judging, which may have been asked for before, and waits for its end. */
  async *#judged(
    { jobId, app, origin }: Upload,
    knownBefore: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<UploadModelResponse> {
    const { bus, store, jobs } = this.#parts;
    const reason = `${origin.author} uploaded a model${origin.notes === "" ? "" : `: ${origin.notes}`}`;
    const job = create(TrainingJobSchema, { id: jobId, app, trigger: UPLOAD_TRIGGER, reason });
    if ((await jobs.progress(jobId)).state === "waiting")
      await bus.publish(trainingJobSubject(app), TrainingJobSchema, job, { id: jobId });
    let told = "";
    for (;;) {
      const { state, outcome } = await jobs.progress(jobId);
      if (state === "failed" || state === "cancelled")
        throw new MillraceError("failed_precondition", `The model was not registered: ${outcome}`);
      if (state === "finished") break;
      const stage = state === "running" ? "judging" : "waiting";
      if (stage !== told) yield progress(stage, Number(origin.bytes));
      told = stage;
      await sleep(LOOK_MS, undefined, { signal });
    }
    const model = await store.modelOfJob(jobId);
    if (model === undefined) throw new MillraceError("internal", `The job ${jobId} is finished and has no model`);
    yield create(UploadModelResponseSchema, { step: { case: "result", value: { model, knownBefore } } });
  }
}

interface Received {
  readonly header: UploadHeader;
  readonly file: Uint8Array;
  readonly columns: readonly string[];
  readonly requestHash: string;
}

const progress = (stage: string, received: number): UploadModelResponse =>
  create(UploadModelResponseSchema, { step: { case: "progress", value: { stage, bytesReceived: BigInt(received) } } });

/** Of everything that may lead to another version. */
function requestHashOf({ sha256, quantize }: UploadHeader, columns: readonly string[]): string {
  const { maxLoss, maxDifference, minWeights } = quantize ?? {};
  const options = quantize === undefined ? null : { maxLoss, maxDifference, minWeights };
  return createHash("sha256").update(JSON.stringify({ sha256, columns, options })).digest("hex");
}
