import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { MillraceError } from "@millrace/runtime";
import { fillHistograms, type HistogramData, type HistogramTask } from "./histogram.ts";
import { ThreadSignals } from "./threadSignals.ts";

/** A run of features that one thread fills. */
export interface FeatureRange {
  readonly firstFeature: number;
  readonly endFeature: number;
}

/** A thread that is still at work after so long is looked after. */
const PATIENCE_MS = 100;

/**
 * Fills histograms, features shared out among threads, of which this one is the first. Threads are woken and waited for through shared memory:
 * a message takes a third of a millisecond to send, and each tree would need one for each of its levels.
 */
export class HistogramThreads implements AsyncDisposable {
  readonly #data: HistogramData;
  readonly #own: FeatureRange;
  readonly #workers: readonly Worker[];
  readonly #signals: ThreadSignals;
  #ended = false;

  /** @param maxTasks most nodes whose histograms are filled at once */
  constructor(data: HistogramData, threads: number, maxTasks: number) {
    this.#data = data;
    const count = Math.max(1, Math.min(threads, data.features));
    const border = (thread: number): number => Math.floor((thread * data.features) / count);
    const module = new URL("./histogramWorker.ts", import.meta.url);
    this.#own = { firstFeature: 0, endFeature: border(1) };
    this.#signals = ThreadSignals.make(maxTasks);
    this.#workers = Array.from({ length: count - 1 }, (_, index) => {
      const range: FeatureRange = { firstFeature: border(index + 1), endFeature: border(index + 2) };
      const worker = new Worker(module, { workerData: { data, range, memory: this.#signals.memory } });
      for (const event of ["error", "exit"] as const) worker.on(event, () => (this.#ended = true));
      return worker;
    });
  }

  /** @throws `internal` when a thread has died. */
  async fill(tasks: readonly HistogramTask[]): Promise<void> {
    if (tasks.length === 0) return;
    if (this.#workers.length > 0) this.#signals.begin(tasks);
    fillHistograms(this.#data, tasks, this.#own.firstFeature, this.#own.endFeature);
    while (!this.#signals.waitForAll(this.#workers.length, PATIENCE_MS)) {
      // What became of it is told by events, which get their turn only now.
      await setImmediate();
      if (this.#ended) throw new MillraceError("internal", "a training thread ended by itself");
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signals.end();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
