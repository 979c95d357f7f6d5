import { create } from "@bufbuild/protobuf";
import type { Metric } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type QuantizationComparison,
  QuantizationComparisonSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { QuantizeOptions } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { advantage, type Metrics, metricDefinition } from "../evaluation/metrics.ts";
import type { QuantizedModel, Timing } from "./modelTasks.ts";

const MAX_LOSS = 0.002;
const MAX_DIFFERENCE = 0.02;
/** A median that is not better by this much may be chance, and then the original is the safer file. */
const MIN_SPEED_UP = 1.05;

/** What both files did. */
export interface Measured extends Pick<QuantizedModel, "layers" | "skipped"> {
  /** By batch size; the last is the app's. */
  readonly timings: readonly Timing[];
  readonly options: QuantizeOptions;
  /** The app's. */
  readonly metric: Metric;
  readonly comparedOn: "labelled holdout" | "rows of the dataset" | "random rows";
  readonly original: Answers;
  readonly quantized: Answers;
}

export interface Answers {
  readonly artefact: string;
  readonly bytes: number;
  readonly probabilities: Float64Array;
  /** Where the rows have labels. */
  readonly metrics?: Metrics;
}

interface Check {
  readonly passed: boolean;
  readonly sentence: string;
}

/** Decides whether a quantized model serves: it must do as well within the bound, and be faster at the app's batch size. */
export function compareQuantized(measured: Measured): QuantizationComparison {
  const { options, metric, comparedOn, original, quantized, layers, skipped, timings } = measured;
  const differences = differencesOf(original.probabilities, quantized.probabilities);
  const checks =
    layers.length === 0
      ? [fail("No layer could be quantized.")]
      : [quality(measured, differences.largest), speed(timings.at(-1))];
  const accepted = checks.every(({ passed }) => passed);
  const { key } = metricDefinition(metric);
  return create(QuantizationComparisonSchema, {
    accepted,
    verdict: checks.map(({ sentence }) => sentence),
    comparedOn,
    rows: BigInt(original.probabilities.length),
    ...(original.metrics === undefined
      ? { allowedDifference: options.maxDifference ?? MAX_DIFFERENCE }
      : {
          metric: key,
          originalMetric: original.metrics[key] ?? Number.NaN,
          quantizedMetric: quantized.metrics?.[key] ?? Number.NaN,
          maxLoss: options.maxLoss ?? MAX_LOSS,
        }),
    maxDifference: differences.largest,
    meanDifference: differences.mean,
    timings: timings.map((timing) => ({ ...timing })),
    originalBytes: BigInt(original.bytes),
    quantizedBytes: BigInt(quantized.bytes),
    originalArtefact: original.artefact,
    quantizedArtefact: accepted ? quantized.artefact : "",
    quantizedLayers: layers.map(({ operator, node, rows, columns }) => `${operator} ${node} (${rows} × ${columns})`),
    skippedLayers: skipped.map(({ operator, node, why }) => `${operator} ${node}: ${why}`),
  });
}

const pass = (sentence: string): Check => ({ passed: true, sentence });
const fail = (sentence: string): Check => ({ passed: false, sentence });

/** The first row whose answer is a number and no probability; -1: none. */
export const firstImprobable = (probabilities: Float64Array): number =>
  probabilities.findIndex((probability) => probability < 0 || probability > 1);

function quality({ options, metric, comparedOn, original, quantized }: Measured, largest: number): Check {
  const wrong = firstImprobable(quantized.probabilities);
  if (wrong !== -1) {
    return fail(`In int8 it answers ${quantized.probabilities[wrong]} for row ${wrong}, which is no probability.`);
  }
  if (original.metrics === undefined || quantized.metrics === undefined) {
    const allowed = options.maxDifference ?? MAX_DIFFERENCE;
    const numbers = `On ${original.probabilities.length} ${comparedOn} probabilities differ by at most ${largest.toFixed(4)}`;
    // A difference that is not a number is none that could be allowed.
    return largest <= allowed ? pass(`${numbers} (allowed: ${allowed}).`) : fail(`${numbers}; allowed are ${allowed}.`);
  }
  const { key, title } = metricDefinition(metric);
  const loss = -advantage(metric, quantized.metrics, original.metrics);
  const maxLoss = options.maxLoss ?? MAX_LOSS;
  const [int8, float32] = [quantized, original].map(({ metrics }) => (metrics?.[key] ?? Number.NaN).toFixed(4));
  const numbers = `In int8 the ${title} on the same ${original.probabilities.length} rows is ${int8}, in float32 ${float32}`;
  if (loss <= maxLoss) return pass(`${numbers}: within the allowed loss of ${maxLoss}.`);
  return fail(`${numbers}: worse by ${loss.toFixed(4)}, allowed are ${maxLoss}.`);
}

function speed(timing: Timing | undefined): Check {
  if (timing === undefined) return fail("It was not timed.");
  const { batchRows, originalMs, quantizedMs } = timing;
  const factor = originalMs / quantizedMs;
  const numbers = `A batch of ${batchRows} takes ${quantizedMs.toFixed(3)} ms in int8 and ${originalMs.toFixed(3)} ms in float32`;
  if (factor >= MIN_SPEED_UP) return pass(`${numbers}: ${factor.toFixed(2)} times as fast.`);
  return fail(`${numbers}: ${factor.toFixed(2)} times as fast, less than ${MIN_SPEED_UP} is no gain.`);
}

function differencesOf(left: Float64Array, right: Float64Array): { largest: number; mean: number } {
  let largest = 0;
  let sum = 0;
  for (const [row, probability] of left.entries()) {
    const difference = Math.abs(probability - (right[row] as number));
    // NaN wins, and is allowed by no bound; where both have none they agree.
    if (Number.isNaN(difference) && Number.isNaN(probability) && Number.isNaN(right[row])) continue;
    largest = difference > largest || Number.isNaN(difference) ? difference : largest;
    sum += difference;
  }
  return { largest, mean: sum / left.length };
}
