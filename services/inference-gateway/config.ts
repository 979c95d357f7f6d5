import { availableParallelism } from "node:os";
import { type BusConfig, readBusConfig } from "@millrace/bus";
import { readRpcAddress } from "@millrace/rpc";
import { type ConfigReader, MillraceError } from "@millrace/runtime";
import type { InferenceMode } from "./modelLoader.ts";
import type { ModelControl } from "./modelRepository.ts";

export interface Config {
  readonly bus: BusConfig;
  readonly grpcAddress: string;
  /** Processes behind that address; each has its share of the cores, and caches and limits of its own. */
  readonly processes: number;
  readonly maxMessageBytes: number;
  /** Most questions in hand at once: calls, messages of streams, rows of batches. */
  readonly maxCalls: number;
  /** Most rows of a PredictBatch. */
  readonly maxRows: number;
  /** Where models run: `auto` decides by each one's warm-up. */
  readonly mode: InferenceMode;
  readonly workers: number;
  /** Most threads inside one run of a worker: a slow model gets them if its warm-up shows that they help. */
  readonly threads: number;
  readonly stuckAfterMs: number;
  readonly maxAbandonedWorkers: number;
  /** Of online features, for each app. */
  readonly cacheBytes: number;
  readonly cacheGraceMs: number;
  readonly maxUnconfirmed: number;
  /** Longest time for a ModelInfer. */
  readonly inferTimeoutMs: number;
  /** Of ModelInfer requests in hand, together. */
  readonly inferBytes: number;
  readonly modelControl: ModelControl;
  /** Of models that no app uses; undefined: none. */
  readonly modelFolder: string | undefined;
  readonly modelRepositoryBytes: number;
}

const MIB = 1 << 20;

/** Reads the gateway's settings. */
export function readGatewayConfig(reader: ConfigReader): Config {
  const processes = readProcesses(reader);
  const cores = Math.max(1, Math.floor(availableParallelism() / processes));
  const workers = reader.integer("INFERENCE_WORKERS", Math.max(1, cores - 1), { min: 1, max: 256 });
  const threads = Math.max(1, Math.floor((cores - 1) / workers));
  return {
    bus: readBusConfig(reader),
    grpcAddress: readRpcAddress(reader, "127.0.0.1:50051"),
    processes,
    maxMessageBytes: reader.integer("MAX_MESSAGE_BYTES", 64 * MIB, { min: 1_024, max: 1_024 * MIB }),
    maxCalls: reader.integer("MAX_CALLS", 4_096, { min: 1 }),
    maxRows: reader.integer("MAX_BATCH_ROWS", 1_000, { min: 1, max: 100_000 }),
    mode: readMode(reader.string("INFERENCE_MODE", "auto")),
    workers,
    threads: reader.integer("INFERENCE_THREADS", threads, { min: 1, max: 64 }),
    stuckAfterMs: reader.integer("INFERENCE_STUCK_MS", 2_000, { min: 10 }),
    maxAbandonedWorkers: reader.integer("INFERENCE_MAX_ABANDONED", 4, { min: 0 }),
    cacheBytes: reader.integer("FEATURE_CACHE_MIB", 512, { min: 1 }) * MIB,
    cacheGraceMs: reader.integer("FEATURE_CACHE_GRACE_MS", 5_000),
    maxUnconfirmed: reader.integer("MAX_UNCONFIRMED", 50_000, { min: 1 }),
    inferTimeoutMs: reader.integer("INFER_TIMEOUT_MS", 60_000, { min: 1, max: 3_600_000 }),
    inferBytes: reader.integer("INFER_MEMORY_MIB", 512, { min: 1 }) * MIB,
    modelControl: readModelControl(reader.string("MODEL_CONTROL", "none"), processes),
    modelFolder: reader.optional("MODEL_REPOSITORY"),
    modelRepositoryBytes: reader.integer("MODEL_REPOSITORY_MIB", 1_024, { min: 1 }) * MIB,
  };
}

function readProcesses(reader: ConfigReader): number {
  if (reader.optional("GATEWAY_PROCESSES") === "auto") return availableParallelism();
  return reader.integer("GATEWAY_PROCESSES", 1, { min: 1, max: 256 });
}

function readMode(mode: string): InferenceMode {
  if (mode === "auto" || mode === "inline" || mode === "worker") return mode;
  throw new MillraceError("invalid_argument", `INFERENCE_MODE must be auto, inline or worker, not "${mode}"`);
}

function readModelControl(control: string, processes: number): ModelControl {
  if (control === "explicit" && processes > 1) {
    const why = "only the process that is asked would load the model";
    const advice = "set GATEWAY_PROCESSES=1, or MODEL_CONTROL=none and put the models into MODEL_REPOSITORY";
    throw new MillraceError(
      "invalid_argument",
      `MODEL_CONTROL=explicit does not go with GATEWAY_PROCESSES=${processes}: ${why}; ${advice}`,
    );
  }
  if (control === "none" || control === "explicit") return control;
  throw new MillraceError("invalid_argument", `MODEL_CONTROL must be none or explicit, not "${control}"`);
}
