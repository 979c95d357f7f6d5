import { Worker } from "node:worker_threads";
import { create, toBinary } from "@bufbuild/protobuf";
import { decode } from "@millrace/bus";
import {
  type BuildDatasetRequest,
  BuildDatasetRequestSchema,
  type BuildDatasetResponse,
  BuildDatasetResponseSchema,
  DatasetManifestSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import type { Call } from "@millrace/rpc";
import { type Logger, MillraceError } from "@millrace/runtime";
import type { Config } from "./config.ts";
import type { DatasetThreadInput, DatasetThreadMessage } from "./datasetMessages.ts";

type BuildDataset = (request: BuildDatasetRequest, call: Call) => AsyncIterable<BuildDatasetResponse>;

/** A build takes a core and some hundred MiB. */
const MAX_BUILDS = 2;
const RETRY_AFTER_MS = 5_000;

/**
 * `DatasetService.BuildDataset`, each build in a thread of its own; it ends when the caller goes away.
 *
 * @throws `resource_exhausted` when enough builds are running.
 */
export function buildDatasetInWorker(config: Config, logger: Logger): BuildDataset {
  let running = 0;
  return async function* (request, call) {
    if (running >= MAX_BUILDS) {
      const message = `${MAX_BUILDS} datasets are being built already; try again when one is done`;
      throw new MillraceError("resource_exhausted", message, { retryAfterMs: RETRY_AFTER_MS });
    }
    running += 1;
    const startedAt = performance.now();
    const input: DatasetThreadInput = {
      request: toBinary(BuildDatasetRequestSchema, request),
      bus: config.bus,
      eventLogAddress: config.eventLogAddress,
    };
    const worker = new Worker(new URL("./datasetWorker.ts", import.meta.url), { workerData: input });
    try {
      yield* answersOf(worker, call.signal);
      const seconds = (performance.now() - startedAt) / 1_000;
      logger.info({ app: request.app, seconds }, `built a dataset of ${request.app} in ${seconds.toFixed(1)} s`);
    } finally {
      await worker.terminate();
      running -= 1;
    }
  };
}

/** The thread's messages as answers, until the manifest. Progress that nobody has taken yet is replaced by newer progress. */
async function* answersOf(worker: Worker, signal: AbortSignal): AsyncGenerator<BuildDatasetResponse> {
  let latest: DatasetThreadMessage | undefined;
  let wake = Promise.withResolvers<void>();
  const hear = (message: DatasetThreadMessage): void => {
    latest = message;
    wake.resolve();
  };
  const fail = (message: string): void => {
    if (latest === undefined || latest.kind === "progress")
      hear({ kind: "failure", code: "internal", message, violations: [] });
  };
  worker.on("message", hear);
  worker.on("error", (error) => fail(`the dataset's thread broke: ${String(error)}`));
  worker.on("exit", () => fail("the dataset's thread ended without an answer"));
  signal.addEventListener("abort", () => wake.resolve(), { once: true });
  while (!signal.aborted) {
    await wake.promise;
    wake = Promise.withResolvers<void>();
    const message = latest;
    latest = undefined;
    if (message === undefined) continue;
    if (message.kind === "failure") {
      throw new MillraceError(message.code, message.message, { violations: message.violations });
    }
    yield answerOf(message);
    if (message.kind === "manifest") return;
  }
  throw new MillraceError("cancelled", "the caller has gone");
}

function answerOf(message: Exclude<DatasetThreadMessage, { kind: "failure" }>): BuildDatasetResponse {
  if (message.kind === "manifest") {
    const value = decode(DatasetManifestSchema, message.manifest);
    return create(BuildDatasetResponseSchema, { step: { case: "manifest", value } });
  }
  const value = { eventsRead: BigInt(message.eventsRead), rowsWritten: BigInt(message.rowsWritten) };
  return create(BuildDatasetResponseSchema, { step: { case: "progress", value } });
}
