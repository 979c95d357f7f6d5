import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { monitoredWindowMs } from "@millrace/app";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { type ModelVersion, ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { summaryOf } from "./answers.ts";
import type { ModelledApp } from "./appRows.ts";
import { DEFAULT_COVERAGE } from "./calibration/conformal.ts";
import type { BuiltDataset } from "./dataset.ts";
import type { Metrics } from "./evaluation/metrics.ts";
import type { ChampionResult } from "./gates.ts";
import type { Judged } from "./judging.ts";
import { baseRate, classShares, type Matrix, selectRows } from "./matrix.ts";
import { describeTraining } from "./reference.ts";
import type { Split } from "./split.ts";
import { type Task, taskOf } from "./task.ts";

export interface VersionParts {
  readonly job: TrainingJob;
  readonly app: ModelledApp;
  readonly dataset: BuiltDataset;
  /** The dataset's rows with the model's columns, in its order. */
  readonly rows: Matrix;
  readonly split: Split;
  readonly best: Judged;
  /** Of `best`, with all that an evaluation tells. */
  readonly metrics: Metrics;
  readonly against: ChampionResult;
  readonly verdict: readonly string[];
  readonly artefact: string;
  /** Where the `Evaluation` is. */
  readonly evaluation: string;
}

/** A judged model as the registry keeps it, not yet numbered. */
export function describeVersion(parts: VersionParts): ModelVersion {
  const { job, app, dataset, rows, split, best, against } = parts;
  const { manifest, asOfMs } = dataset;
  const task = taskOf(app.model);
  const trained = selectRows(rows, split.train);
  return create(ModelVersionSchema, {
    app: job.app,
    jobId: job.id,
    algorithm: best.algorithm,
    artefact: parts.artefact,
    artefactBytes: BigInt(best.onnx.length),
    featureNames: [...rows.featureNames],
    datasetHash: manifest.contentHash,
    appVersion: app.version,
    asOf: timestampFromMs(asOfMs),
    metrics: parts.metrics,
    championMetrics: against.kind === "measured" ? against.metrics : {},
    verdict: [...parts.verdict],
    baseRate: task.kind === "binary" ? baseRate({ labels: trained.labels }) : 0,
    prior: priorOf(task, trained),
    task: app.model.task,
    classes: [...app.model.classes],
    coverage: task.kind === "binary" ? 0 : app.model.coverage || DEFAULT_COVERAGE,
    evaluation: parts.evaluation,
    reference: describeTraining({
      featureNames: rows.featureNames,
      columns: rows.columns,
      occurredAtMs: dataset.rows.occurredAtMs,
      train: split.train,
      holdout: split.holdout,
      predictions: summaryOf(best.answers),
      labels: best.answers.kind === "binary" ? rows.labels : undefined,
      windowMs: monitoredWindowMs(app.app),
    }),
    parameters: best.parameters,
    importance: [...best.importance],
  });
}

/** What a model that knows no feature would answer: nothing beside `base_rate`, the classes' shares, or the mean. */
function priorOf(task: Task, { labels }: Matrix): number[] {
  if (task.kind === "binary") return [];
  return task.kind === "multiclass" ? [...classShares({ labels }, task.classes.length)] : [baseRate({ labels })];
}

export interface UnjudgedParts extends Pick<VersionParts, "job" | "app" | "best" | "verdict" | "artefact"> {
  readonly columns: readonly string[];
  /** Where there is one, without enough labels to judge by. */
  readonly dataset: BuiltDataset | undefined;
}

/** A model that nothing is known of but its file. Its fallback is the app's constant, for no base rate is known. */
export function describeUnjudged({ job, app, best, verdict, artefact, columns, dataset }: UnjudgedParts): ModelVersion {
  return create(ModelVersionSchema, {
    app: job.app,
    jobId: job.id,
    algorithm: best.algorithm,
    artefact,
    artefactBytes: BigInt(best.onnx.length),
    featureNames: [...columns],
    appVersion: app.version,
    verdict: [...verdict],
    baseRate: app.app.serving?.constant ?? 0,
    parameters: best.parameters,
    ...(dataset === undefined
      ? {}
      : { datasetHash: dataset.manifest.contentHash, asOf: timestampFromMs(dataset.asOfMs) }),
  });
}
