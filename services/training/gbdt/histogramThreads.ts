import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { MillraceError } from "@millrace/runtime";
import { fillHistograms, type HistogramData, type HistogramTask } from "./histogram.ts";

/** A run of features that one thread fills. */
export interface FeatureRange {
  readonly firstFeature: number;
  readonly endFeature: number;
}

/** Fills histograms, features shared out among threads, of which this one is the first. */
export class HistogramThreads implements AsyncDisposable {
  readonly #data: HistogramData;
  readonly #own: FeatureRange;
  readonly #workers: readonly Worker[];

  constructor(data: HistogramData, threads: number) {
    this.#data = data;
    const count = Math.max(1, Math.min(threads, data.features));
    const border = (thread: number): number => Math.floor((thread * data.features) / count);
    const module = new URL("./histogramWorker.ts", import.meta.url);
    this.#own = { firstFeature: 0, endFeature: border(1) };
    this.#workers = Array.from({ length: count - 1 }, (_, index) => {
      const range: FeatureRange = { firstFeature: border(index + 1), endFeature: border(index + 2) };
      return new Worker(module, { workerData: { data, range } });
    });
  }

  /** @throws `internal` when a thread has died. */
  async fill(tasks: readonly HistogramTask[]): Promise<void> {
    if (tasks.length === 0) return;
    const others = this.#workers.map((worker) => this.#ask(worker, tasks));
    fillHistograms(this.#data, tasks, this.#own.firstFeature, this.#own.endFeature);
    await Promise.all(others);
  }

  async #ask(worker: Worker, tasks: readonly HistogramTask[]): Promise<void> {
    const ended = new AbortController();
    try {
      worker.postMessage(tasks);
      await Promise.race([
        once(worker, "message", { signal: ended.signal }),
        once(worker, "exit", { signal: ended.signal }).then(() => {
          throw new MillraceError("internal", "a training thread ended by itself");
        }),
      ]);
    } finally {
      ended.abort();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
