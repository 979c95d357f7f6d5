import { describeError, MillraceError } from "@millrace/runtime";
import { InferenceSession } from "onnxruntime-node";
import { readSignature } from "./signature.ts";

export interface SessionOptions {
  /** Threads inside one run. Default 1: ONNX Runtime's own default is one per core of the host, whatever a container may use. */
  readonly threads?: number;
}

/**
 * Opens a model in ONNX Runtime. `run()` of the session blocks this thread: use it in a worker, or where nothing else waits.
 *
 * @throws `invalid_argument` for bytes that are not a model that can be served, saying why and what to do.
 */
export async function openSession(bytes: Uint8Array, { threads = 1 }: SessionOptions = {}): Promise<InferenceSession> {
  readSignature(bytes);
  try {
    return await InferenceSession.create(bytes, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      logSeverityLevel: 3,
    });
  } catch (cause) {
    throw new MillraceError("invalid_argument", `ONNX Runtime cannot load the model: ${describeError(cause)}`, {
      cause,
    });
  }
}
