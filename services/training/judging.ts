import { binaryMetrics } from "@millrace/metrics";
import type { Metric } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";
import type { Artefacts } from "./artefacts.ts";
import { predictWithArtefact } from "./evaluate.ts";
import { advantage, type ChampionResult, type Metrics, metricDefinition } from "./gates.ts";
import type { Matrix } from "./matrix.ts";

/** A trained candidate as it did on the holdout. */
export interface Judged {
  readonly algorithm: string;
  readonly onnx: Uint8Array;
  /** JSON object. */
  readonly parameters: string;
  readonly importance: readonly number[];
  readonly metrics: Metrics;
  /** The ONNX file's own answers on the holdout. */
  readonly probabilities: Float64Array;
}

/** Answers of an ONNX file, and how good they are. */
export async function judge(onnx: Uint8Array, holdout: Matrix): Promise<Pick<Judged, "metrics" | "probabilities">> {
  const probabilities = await predictWithArtefact(onnx, holdout.columns);
  return { probabilities, metrics: measure(holdout.labels, probabilities) };
}

/** The champion, through its ONNX file, on the same rows; a reason when it cannot be asked. */
export async function judgeChampion(
  champion: ModelVersion | undefined,
  holdout: Matrix,
  artefacts: Artefacts,
): Promise<ChampionResult> {
  if (champion === undefined) return { kind: "none" };
  const { number, featureNames, artefact } = champion;
  const columns = featureNames.map((name) => holdout.columns[holdout.featureNames.indexOf(name)]);
  const gone = featureNames.filter((_, index) => columns[index] === undefined);
  if (gone.length > 0) {
    return { kind: "unusable", number, reason: `it needs ${gone.join(", ")}, which the app no longer has.` };
  }
  try {
    const probabilities = await predictWithArtefact(await artefacts.get(artefact), columns as Float64Array[]);
    return { kind: "measured", number, metrics: measure(holdout.labels, probabilities) };
  } catch (error) {
    // A bus that is away says nothing about the champion: judge again later.
    if (error instanceof MillraceError && error.code === "unavailable") throw error;
    return { kind: "unusable", number, reason: `${describeError(error)}.` };
  }
}

/** The best of the candidates by the app's metric; the earlier one on a tie. */
export function bestOf(candidates: readonly Judged[], metric: Metric): Judged {
  const [first, ...rest] = candidates;
  if (first === undefined) {
    throw new MillraceError("failed_precondition", "The app names no candidate that can be trained (model.candidates)");
  }
  return rest.reduce((best, next) => (advantage(metric, next.metrics, best.metrics) > 0 ? next : best), first);
}

/** Says which candidate was taken, with the numbers of all. */
export function compareSentence(candidates: readonly Judged[], best: Judged, metric: Metric): string {
  const { key, title } = metricDefinition(metric);
  const list = candidates.map(({ algorithm, metrics }) => `${algorithm} ${(metrics[key] ?? Number.NaN).toFixed(4)}`);
  return `Of ${candidates.length} candidates, ${best.algorithm} has the best ${title} on the holdout (${list.join(", ")}).`;
}

function measure(labels: Float64Array, probabilities: Float64Array): Metrics {
  const metrics = binaryMetrics(labels, probabilities);
  return {
    auc: metrics.auc,
    log_loss: metrics.logLoss,
    brier: metrics.brier,
    calibration_error: metrics.calibrationError,
    base_rate: metrics.baseRate,
    accuracy: metrics.accuracy,
    rows: metrics.rows,
  };
}
