/** A thread that fills the histograms of its share of the features, whenever it is asked. */
import { parentPort, workerData } from "node:worker_threads";
import { fillHistograms, type HistogramData, type HistogramTask } from "./histogram.ts";
import type { FeatureRange } from "./histogramThreads.ts";

const { data, range } = workerData as { data: HistogramData; range: FeatureRange };

parentPort?.on("message", (tasks: readonly HistogramTask[]) => {
  fillHistograms(data, tasks, range.firstFeature, range.endFeature);
  parentPort?.postMessage(undefined);
});
