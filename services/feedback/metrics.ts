import { durationMs } from "@bufbuild/protobuf/wkt";
import type { LabelQuality } from "@millrace/proto/millrace/feedback/v1/label_quality_pb.ts";
import { metrics } from "@opentelemetry/api";
import type { LabelCounts } from "./joinTransaction.ts";

const meter = metrics.getMeter("millrace.feedback");

const outcomes = meter.createCounter("millrace.feedback.outcomes", {
  description: "Predictions whose truth became known, corrections included",
});

const labels = meter.createCounter("millrace.feedback.labels", {
  description: "Labels by what became of them: stored, repeated, ahead, contradiction",
});

/** Counts outcomes that are stored and published. */
export function countOutcomes(app: string, count: number): void {
  if (count > 0) outcomes.add(count, { "millrace.app": app });
}

/** Counts what became of a batch's labels. */
export function countLabels(app: string, { stored, repeated, ahead, contradictions }: LabelCounts): void {
  for (const [kind, count] of [
    ["stored", stored],
    ["repeated", repeated],
    ["ahead", ahead],
    ["contradiction", contradictions],
  ] as const) {
    if (count > 0) labels.add(count, { "millrace.app": app, "millrace.label.kind": kind });
  }
}

/** Registers the gauges that are read when the exporter asks. `quality` answers one for each app and model version. */
export function observeLabels(quality: () => Promise<readonly LabelQuality[]>): void {
  const coverage = meter.createObservableGauge("millrace.feedback.labels.coverage", {
    description: "Share of the predictions, of windows whose wait is over, that have their truth",
  });
  const never = meter.createObservableGauge("millrace.feedback.labels.never", {
    description: "Predictions, of windows whose wait is over, without truth",
  });
  const delay = meter.createObservableGauge("millrace.feedback.labels.delay", {
    description: "How long after its prediction the truth was known, by quantile",
    unit: "s",
  });
  meter.addBatchObservableCallback(
    async (result) => {
      for (const each of await quality()) {
        const about = { "millrace.app": each.app, "millrace.model": each.modelVersion };
        const predictions = Number(each.predictions);
        const labelled = Number(each.labelled);
        if (predictions > 0) result.observe(coverage, labelled / predictions, about);
        result.observe(never, predictions - labelled, about);
        for (const [quantile, duration] of [
          ["0.5", each.delay?.p50],
          ["0.9", each.delay?.p90],
          ["0.99", each.delay?.p99],
        ] as const) {
          if (duration !== undefined)
            result.observe(delay, durationMs(duration) / 1_000, { ...about, "millrace.quantile": quantile });
        }
      }
    },
    [coverage, never, delay],
  );
}
