import { observeGauge } from "./metrics.ts";
import type { ModelDirectory } from "./modelDirectory.ts";

/** What an SRE sees of the loaded models, beside the histograms of their batches. */
export function observeModels(directory: ModelDirectory): void {
  const each = (name: string, description: string, read: (lane: LoadedLane) => number): void =>
    observeGauge(name, description, (observe) => {
      for (const { lane } of directory.all()) observe(read(lane), { "millrace.model.version": lane.version });
    });
  each(
    "millrace.inference.requests.answered",
    "Requests answered so far",
    ({ statistics }) => statistics.success.count,
  );
  each("millrace.inference.requests.failed", "Requests failed so far", ({ statistics }) => statistics.failure.count);
  each("millrace.inference.rows", "Rows run so far", ({ statistics }) => statistics.rows);
  each(
    "millrace.inference.runs",
    "Runs so far: fewer than rows when batching works",
    ({ statistics }) => statistics.runs,
  );
  each("millrace.inference.queue.rows", "Rows that wait now", ({ waitingRows }) => waitingRows);
}

type LoadedLane = Parameters<ModelDirectory["add"]>[0]["lane"];
