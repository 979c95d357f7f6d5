import type { Executor } from "./executor.ts";
import type { Lane } from "./lane.ts";

/** Shares an executor among the model versions that it runs: whoever has waited longest goes first. */
export class Scheduler<Kind extends Executor = Executor> {
  readonly executor: Kind;
  readonly #lanes = new Set<Lane>();
  #pumpIsDue = false;

  constructor(executor: Kind) {
    this.executor = executor;
    executor.onCapacity = () => this.wake();
  }

  add(lane: Lane): void {
    this.#lanes.add(lane);
  }

  remove(lane: Lane): void {
    this.#lanes.delete(lane);
  }

  /** Hands batches over after this turn of the event loop, so that requests which the network brought together go together. */
  readonly wake = (): void => {
    if (this.#pumpIsDue) return;
    this.#pumpIsDue = true;
    setImmediate(() => {
      this.#pumpIsDue = false;
      this.#pump();
    });
  };

  #pump(): void {
    if (this.#lanes.size === 1) {
      for (const lane of this.#lanes) lane.pump();
      return;
    }
    const waitingSince = (lane: Lane): number => lane.oldestArrival ?? Infinity;
    for (const lane of [...this.#lanes].sort((a, b) => waitingSince(a) - waitingSince(b))) lane.pump();
  }
}
