import type { Availability } from "./batcher.ts";
import type { TensorValue } from "./tensor.ts";
import type { Outputs } from "./workers/messages.ts";

export interface RunResult {
  readonly outputs: Outputs;
  /** Time of the run itself, without the way there and back. */
  readonly runMs: number;
}

/** What runs batches: a pool of inference workers, or this thread. */
export interface Executor {
  /** What a batch would find now. */
  readonly availability: Availability;
  /** Whether `run` takes its inputs' memory away: what somebody else still reads must then be copied before. */
  readonly keepsInputs: boolean;
  /** Called whenever the availability has grown. */
  onCapacity: () => void;
  /** @param threads Inside one run. */
  load(artefact: string, bytes: Uint8Array, threads: number): Promise<void>;
  unload(artefact: string): Promise<void>;
  /**
   * Runs one batch.
   *
   * @param inputs In the order of the model's signature.
   * @param wanted Positions of the outputs to calculate.
   * @throws `unavailable` when the worker crashed or got stuck; what `ModelSession.run` throws.
   */
  run(artefact: string, inputs: readonly TensorValue[], wanted: readonly number[]): Promise<RunResult>;
}
