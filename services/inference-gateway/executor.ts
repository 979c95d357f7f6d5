import type { Availability } from "./batcher.ts";

export interface RunResult {
  /** One per row. */
  readonly probabilities: Float32Array;
  /** Time of the run itself, without the way there and back. */
  readonly runMs: number;
}

/** What runs batches: a pool of inference workers, or this thread. */
export interface Executor {
  /** What a batch would find now. */
  readonly availability: Availability;
  /** Runs one batch; the features are given away. Fails with `unavailable` when the worker crashed or got stuck. */
  run(artefact: string, features: Float32Array, rows: number, columns: number): Promise<RunResult>;
  /** Called whenever the availability has grown. */
  onCapacity: () => void;
}
