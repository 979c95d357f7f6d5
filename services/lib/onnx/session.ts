import { describeError, MillraceError } from "@millrace/runtime";
import { InferenceSession } from "onnxruntime-node";
import { readSignature, type TensorSignature } from "./signature.ts";

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
  const { inputs, outputs } = readSignature(bytes);
  for (const tensor of [...inputs, ...outputs]) checkDatatype(tensor);
  try {
    return await InferenceSession.create(bytes, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: "sequential",
      graphOptimizationLevel: "all",
      logSeverityLevel: 3,
    });
  } catch (cause) {
    const advice =
      "check that the file arrived whole, and that its opset and operators are among those of this ONNX Runtime";
    throw new MillraceError(
      "invalid_argument",
      `ONNX Runtime cannot load the model: ${describeError(cause)}; ${advice}`,
      {
        cause,
      },
    );
  }
}

/** Half-precision values do not get through onnxruntime-node: Node 23 and later give them an array type it does not know. */
function checkDatatype({ name, datatype }: TensorSignature): void {
  if (datatype !== "float16" && datatype !== "bfloat16") return;
  const advice = "keep half precision inside the graph and cast inputs and outputs to float";
  throw new MillraceError(
    "invalid_argument",
    `The model's value "${name}" is ${datatype}, which cannot be served; ${advice}`,
  );
}
