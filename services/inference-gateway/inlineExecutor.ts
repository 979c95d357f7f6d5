import { MillraceError } from "@millrace/runtime";
import type { Availability } from "./batcher.ts";
import type { Executor, RunResult } from "./executor.ts";
import { ModelSession } from "./workers/session.ts";

/** Runs small models on the service's own thread, one batch at a time. `warmUp.ts` decides which are small enough. */
export class InlineExecutor implements Executor {
  onCapacity: () => void = () => undefined;
  readonly #sessions = new Map<string, ModelSession>();
  #running = false;

  get availability(): Availability {
    return this.#running ? "full" : "idle";
  }

  async load(artefact: string, bytes: Uint8Array): Promise<void> {
    if (!this.#sessions.has(artefact)) this.#sessions.set(artefact, await ModelSession.load(bytes));
  }

  async unload(artefact: string): Promise<void> {
    const session = this.#sessions.get(artefact);
    this.#sessions.delete(artefact);
    await session?.release();
  }

  async run(artefact: string, features: Float32Array, rows: number, columns: number): Promise<RunResult> {
    const session = this.#sessions.get(artefact);
    if (session === undefined) throw new MillraceError("unavailable", `the model ${artefact} is not loaded`);
    this.#running = true;
    const startedAt = performance.now();
    try {
      const probabilities = await session.run(features, rows, columns);
      return { probabilities, runMs: performance.now() - startedAt };
    } finally {
      this.#running = false;
      this.onCapacity();
    }
  }
}
