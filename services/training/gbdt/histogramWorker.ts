/** A thread that fills the histograms of its share of the features, whenever it is asked. */
import { parentPort, workerData } from "node:worker_threads";
import { fillHistograms, type HistogramData, type HistogramTask } from "./histogram.ts";

const { data, first, step } = workerData as { data: HistogramData; first: number; step: number };

parentPort?.on("message", (tasks: readonly HistogramTask[]) => {
  fillHistograms(data, tasks, first, step);
  parentPort?.postMessage(undefined);
});
