/** A thread that fills the histograms of its share of the features, whenever it is asked. */
import { workerData } from "node:worker_threads";
import { fillHistograms, type HistogramData } from "./histogram.ts";
import type { FeatureRange } from "./histogramThreads.ts";
import { ThreadSignals } from "./threadSignals.ts";

const { data, range, memory } = workerData as { data: HistogramData; range: FeatureRange; memory: Int32Array };

const signals = new ThreadSignals(memory);
for (let tasks = signals.next(); tasks !== undefined; tasks = signals.next()) {
  fillHistograms(data, tasks, range.firstFeature, range.endFeature);
  signals.done();
}
