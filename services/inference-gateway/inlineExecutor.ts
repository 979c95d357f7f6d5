import { MillraceError } from "@millrace/runtime";
import type { Availability } from "./batcher.ts";
import type { Executor, RunResult } from "./executor.ts";
import type { TensorValue } from "./tensor.ts";
import { ModelSession } from "./workers/session.ts";

/**
 * Full batches that may be handed over at once: each costs a turn of the event loop if it has to wait for the one before, and
 * a turn may bring in more requests than one batch holds.
 */
const MAX_RUNS = 16;

/** Runs small models on the service's own thread, one batch after the other. `warmUp.ts` decides which are small enough. */
export class InlineExecutor implements Executor {
  readonly keepsInputs = false;
  onCapacity: () => void = () => undefined;
  readonly #sessions = new Map<string, ModelSession>();
  #running = 0;

  get availability(): Availability {
    if (this.#running === 0) return "idle";
    return this.#running < MAX_RUNS ? "busy" : "full";
  }

  async load(artefact: string, bytes: Uint8Array, threads: number): Promise<void> {
    if (!this.#sessions.has(artefact)) this.#sessions.set(artefact, await ModelSession.load(bytes, threads));
  }

  async unload(artefact: string): Promise<void> {
    const session = this.#sessions.get(artefact);
    this.#sessions.delete(artefact);
    await session?.release();
  }

  async run(artefact: string, inputs: readonly TensorValue[], wanted: readonly number[]): Promise<RunResult> {
    const session = this.#sessions.get(artefact);
    if (session === undefined) throw new MillraceError("unavailable", `the model ${artefact} is not loaded`);
    this.#running += 1;
    const startedAt = performance.now();
    try {
      const outputs = await session.run(inputs, wanted);
      return { outputs, runMs: performance.now() - startedAt };
    } finally {
      this.#running -= 1;
      this.onCapacity();
    }
  }
}
