import { describeError, MillraceError } from "@millrace/runtime";
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { TensorData, TensorValue } from "../tensor.ts";
import type { Outputs } from "./messages.ts";

/** A loaded model. Its runs block the thread that calls them: ONNX Runtime's `run()` only looks asynchronous. */
export class ModelSession {
  readonly #session: InferenceSession;
  /** Of the inputs, in their order. */
  readonly #types: readonly Tensor.Type[];

  private constructor(session: InferenceSession) {
    this.#session = session;
    this.#types = session.inputMetadata.map((input) => {
      if (input.isTensor) return input.type;
      throw new MillraceError("invalid_argument", `the model's input ${input.name} is not a tensor`);
    });
  }

  /**
   * @param threads Inside one run.
   * @throws `invalid_argument` for bytes that ONNX Runtime cannot load.
   */
  static async load(bytes: Uint8Array, threads: number): Promise<ModelSession> {
    try {
      const session = await InferenceSession.create(bytes, {
        executionProviders: ["cpu"],
        executionMode: "sequential",
        // Without these it starts a thread per core of the host, whatever the container may use.
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        graphOptimizationLevel: "all",
        logSeverityLevel: 4,
        // Threads that wait for work by spinning take the cores from everything else.
        extra: { session: { intra_op: { allow_spinning: "0" } } },
      });
      return new ModelSession(session);
    } catch (cause) {
      throw new MillraceError("invalid_argument", `ONNX Runtime cannot load the model: ${describeError(cause)}`, {
        cause,
      });
    }
  }

  /**
   * Runs once.
   *
   * @param inputs In the order of the model's signature.
   * @param wanted Positions of the outputs to calculate.
   * @throws `invalid_argument` when the model refuses the inputs' values, `internal` when the run fails otherwise.
   */
  async run(inputs: readonly TensorValue[], wanted: readonly number[]): Promise<Outputs> {
    const { inputNames, outputNames } = this.#session;
    try {
      const feeds: Record<string, Tensor> = {};
      inputs.forEach(({ data, dims }, index) => {
        feeds[inputNames[index] as string] = new Tensor(this.#types[index] as "float32", data as Float32Array, dims);
      });
      const fetches = wanted.map((index) => outputNames[index] as string);
      const results = await this.#session.run(feeds, fetches);
      const outputs: (TensorValue | undefined)[] = [];
      for (const index of wanted) {
        const { data, dims } = results[outputNames[index] as string] as Tensor;
        outputs[index] = { data: data as TensorData, dims };
      }
      return outputs;
    } catch (cause) {
      const why = describeError(cause);
      // Its own word for values out of range (an index that a table does not have, for instance).
      const code = why.includes("INVALID_ARGUMENT") ? "invalid_argument" : "internal";
      throw new MillraceError(code, `the model's run failed: ${why}`, { cause });
    }
  }

  /** Gives the native session back. ONNX Runtime leaks a little with each, so long-lived threads should not make many. */
  async release(): Promise<void> {
    await this.#session.release();
  }
}
