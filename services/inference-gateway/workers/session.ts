import { describeError, MillraceError } from "@millrace/runtime";
import { InferenceSession, Tensor } from "onnxruntime-node";

/** What a model takes and gives. A dimension that the model leaves open is -1. */
export interface Signature {
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
}

export interface TensorSignature {
  readonly name: string;
  /** ONNX Runtime's word, such as `float32`; `not a tensor` for sequences and maps. */
  readonly type: string;
  readonly shape: readonly number[];
}

/** What every model of the registry calls its input, float32 [rows, features], and its output, float32 [rows, 1]. */
export const INPUT = "features";
export const OUTPUT = "probability";
const FETCHES = [OUTPUT];

/** A loaded model. Its runs block the thread that calls them: ONNX Runtime's `run()` only looks asynchronous. */
export class ModelSession {
  readonly signature: Signature;
  readonly #session: InferenceSession;

  private constructor(session: InferenceSession) {
    this.#session = session;
    this.signature = {
      inputs: session.inputMetadata.map(tensorSignature),
      outputs: session.outputMetadata.map(tensorSignature),
    };
  }

  /** @throws `invalid_argument` for bytes that ONNX Runtime cannot load. */
  static async load(bytes: Uint8Array): Promise<ModelSession> {
    try {
      const session = await InferenceSession.create(bytes, {
        executionProviders: ["cpu"],
        executionMode: "sequential",
        // Without these it starts a thread per core of the host, whatever the container may use.
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        graphOptimizationLevel: "all",
        logSeverityLevel: 3,
      });
      return new ModelSession(session);
    } catch (cause) {
      throw new MillraceError("invalid_argument", `ONNX Runtime cannot load the model: ${describeError(cause)}`, {
        cause,
      });
    }
  }

  /**
   * Runs a batch: `features` are rows × columns floats, row after row; the answer has one probability per row.
   *
   * @throws `internal` when the run fails or answers another number of rows than it was given.
   */
  async run(features: Float32Array, rows: number, columns: number): Promise<Float32Array> {
    let answer: Tensor | undefined;
    try {
      const feeds = { [INPUT]: new Tensor("float32", features, [rows, columns]) };
      answer = (await this.#session.run(feeds, FETCHES))[OUTPUT];
    } catch (cause) {
      throw new MillraceError("internal", `the model's run failed: ${describeError(cause)}`, { cause });
    }
    if (!(answer?.data instanceof Float32Array) || answer.data.length !== rows) {
      const got = `${answer?.type ?? "nothing"} [${answer?.dims.join(", ") ?? ""}]`;
      throw new MillraceError("internal", `the model answered ${got} for ${rows} rows; expected float32 [${rows}, 1]`);
    }
    return answer.data;
  }

  /** Gives the native session back. ONNX Runtime leaks a little with each, so long-lived threads should not make many. */
  async release(): Promise<void> {
    await this.#session.release();
  }
}

function tensorSignature(value: InferenceSession.ValueMetadata): TensorSignature {
  if (!value.isTensor) return { name: value.name, type: "not a tensor", shape: [] };
  return {
    name: value.name,
    type: value.type,
    shape: value.shape.map((dimension) => (typeof dimension === "number" ? dimension : -1)),
  };
}
