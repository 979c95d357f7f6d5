import type { Metric } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";
import type { Answers } from "./answers.ts";
import type { ModelledApp } from "./appRows.ts";
import type { Artefacts } from "./artefacts.ts";
import { DEFAULT_COVERAGE } from "./calibration/conformal.ts";
import { answersOfArtefact } from "./evaluate.ts";
import { decisionPolicy } from "./evaluation/decisionPolicy.ts";
import { quickMetrics } from "./evaluation/estimates.ts";
import type { AnsweredRows } from "./evaluation/measures.ts";
import { advantage, type Metrics, metricDefinition } from "./evaluation/metrics.ts";
import type { ChampionResult } from "./gates.ts";
import type { Matrix } from "./matrix.ts";
import { taskOf } from "./task.ts";

/** A trained candidate as it did on the holdout. */
export interface Judged {
  readonly algorithm: string;
  readonly onnx: Uint8Array;
  /** JSON object. */
  readonly parameters: string;
  readonly importance: readonly number[];
  readonly metrics: Metrics;
  /** The ONNX file's own answers on the holdout. */
  readonly answers: Answers;
  readonly seconds: number;
}

/** How an app's models are judged: the task, what is decided by their answers, what they state to hold. */
export type Judgement = Omit<AnsweredRows, "labels" | "answers">;

/** @throws `failed_precondition` for a task that this program does not know */
export function judgementOf({ app, model }: Pick<ModelledApp, "app" | "model">): Judgement {
  const task = taskOf(model);
  return { task, policy: decisionPolicy(app.serving), coverage: model.coverage || DEFAULT_COVERAGE };
}

/** Answers of an ONNX file, and how good they are. */
export async function judge(
  onnx: Uint8Array,
  holdout: Matrix,
  judgement: Judgement,
): Promise<Pick<Judged, "metrics" | "answers">> {
  const answers = await answersOfArtefact(onnx, holdout.columns, judgement.task);
  return { answers, metrics: quickMetrics({ ...judgement, labels: holdout.labels, answers }) };
}

/** The champion, through its ONNX file, on the same rows; a reason when it cannot be asked. */
export async function judgeChampion(
  champion: ModelVersion | undefined,
  holdout: Matrix,
  artefacts: Artefacts,
  judgement: Judgement,
): Promise<ChampionResult> {
  if (champion === undefined) return { kind: "none" };
  const { number, featureNames, artefact } = champion;
  const columns = featureNames.map((name) => holdout.columns[holdout.featureNames.indexOf(name)]);
  const gone = featureNames.filter((_, index) => columns[index] === undefined);
  if (gone.length > 0) {
    return { kind: "unusable", number, reason: `it needs ${gone.join(", ")}, which the app no longer has.` };
  }
  const own = taskOf(champion);
  if (own.kind !== judgement.task.kind || classesOf(own) !== classesOf(judgement.task)) {
    return { kind: "unusable", number, reason: "it was made for another task or other classes than the app has now." };
  }
  try {
    const rows = { ...holdout, columns: columns as Float64Array[] };
    return { kind: "measured", number, ...(await judge(await artefacts.get(artefact), rows, judgement)) };
  } catch (error) {
    // A bus that is away says nothing about the champion: judge again later.
    if (error instanceof MillraceError && error.code === "unavailable") throw error;
    return { kind: "unusable", number, reason: `${describeError(error)}.` };
  }
}

const classesOf = (task: Judgement["task"]): string => (task.kind === "multiclass" ? JSON.stringify(task.classes) : "");

/** The best of the candidates by the app's metric; the earlier one on a tie. */
export function bestOf<Candidate extends Pick<Judged, "metrics">>(
  candidates: readonly Candidate[],
  metric: Metric,
): Candidate {
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
