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
 * Work of fewer values than this is done by the first thread alone: it takes about 4 ms, and to wake another thread takes 0.3 ms on a virtual
 * machine, much more on a busy one. On 120,000 rows of 8 features a second thread saved nothing.
 */
const WORTH_WAKING = 4_000_000;

/**
 * Fills histograms, features shared out among threads, of which this one is the first; the others are started when there is enough to do. They
 * are woken and waited for through shared memory: messages would need the event loop's turn. The result is the same in any case.
 */
export class HistogramThreads implements AsyncDisposable {
  readonly #data: HistogramData;
  readonly #count: number;
  readonly #signals: ThreadSignals;
  readonly #worthWaking: number;
  #workers: readonly Worker[] = [];
  #ended = false;

  /** @param maxTasks most nodes whose histograms are filled at once */
  constructor(data: HistogramData, threads: number, maxTasks: number, worthWaking = WORTH_WAKING) {
    this.#data = data;
    this.#count = Math.max(1, Math.min(threads, data.features));
    this.#signals = ThreadSignals.make(maxTasks);
    this.#worthWaking = worthWaking;
  }

  /** @throws `internal` when a thread has died. */
  async fill(tasks: readonly HistogramTask[]): Promise<void> {
    const { features } = this.#data;
    const values = tasks.reduce((sum, { begin, end }) => sum + (end - begin), 0) * features;
    if (this.#count === 1 || values < this.#worthWaking) {
      fillHistograms(this.#data, tasks, 0, features);
      return;
    }
    if (this.#workers.length === 0) this.#workers = this.#start();
    this.#signals.begin(tasks);
    fillHistograms(this.#data, tasks, 0, this.#border(1));
    while (!this.#signals.waitForAll(this.#workers.length, PATIENCE_MS)) {
      // What became of it is told by events, which get their turn only now.
      await setImmediate();
      if (this.#ended) throw new MillraceError("internal", "a training thread ended by itself");
    }
  }

  #start(): Worker[] {
    const module = new URL("./histogramWorker.ts", import.meta.url);
    return Array.from({ length: this.#count - 1 }, (_, index) => {
      const range: FeatureRange = { firstFeature: this.#border(index + 1), endFeature: this.#border(index + 2) };
      const worker = new Worker(module, { workerData: { data: this.#data, range, memory: this.#signals.memory } });
      for (const event of ["error", "exit"] as const) worker.on(event, () => (this.#ended = true));
      return worker;
    });
  }

  /** Where a thread's features begin. */
  #border(thread: number): number {
    return Math.floor((thread * this.#data.features) / this.#count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signals.end();
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
