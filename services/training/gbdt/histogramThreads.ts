import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { MillraceError } from "@millrace/runtime";
import { fillHistograms, type HistogramData, type HistogramTask } from "./histogram.ts";

/** Fills histograms, features shared out among threads; one thread means this one. */
export class HistogramThreads implements AsyncDisposable {
  readonly #data: HistogramData;
  readonly #workers: readonly Worker[];

  constructor(data: HistogramData, threads: number) {
    this.#data = data;
    const count = Math.min(threads, data.features);
    const worker = new URL("./histogramWorker.ts", import.meta.url);
    this.#workers =
      count <= 1
        ? []
        : Array.from({ length: count }, (_, first) => new Worker(worker, { workerData: { data, first, step: count } }));
  }

  /** @throws `internal` when a thread has died. */
  async fill(tasks: readonly HistogramTask[]): Promise<void> {
    if (tasks.length === 0) return;
    if (this.#workers.length === 0) {
      fillHistograms(this.#data, tasks, 0, 1);
      return;
    }
    await Promise.all(
      this.#workers.map(async (worker) => {
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
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
