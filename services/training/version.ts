import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { monitoredWindowMs } from "@millrace/app";
import { mean } from "@millrace/metrics";
import type { TrainingJob } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { type ModelVersion, ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { ModelledApp } from "./appRows.ts";
import type { BuiltDataset } from "./dataset.ts";
import type { ChampionResult } from "./gates.ts";
import type { Judged } from "./judging.ts";
import { type Matrix, selectRows } from "./matrix.ts";
import { describeTraining } from "./reference.ts";
import type { Split } from "./split.ts";

export interface VersionParts {
  readonly job: TrainingJob;
  readonly app: ModelledApp;
  readonly dataset: BuiltDataset;
  /** The dataset's rows with the model's columns, in its order. */
  readonly rows: Matrix;
  readonly split: Split;
  readonly best: Judged;
  readonly against: ChampionResult;
  readonly verdict: readonly string[];
  readonly artefact: string;
}

/** A judged model as the registry keeps it, not yet numbered. */
export function describeVersion(parts: VersionParts): ModelVersion {
  const { job, app, dataset, rows, split, best, against } = parts;
  const { manifest, asOfMs } = dataset;
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
    metrics: best.metrics,
    championMetrics: against.kind === "measured" ? against.metrics : {},
    verdict: [...parts.verdict],
    baseRate: mean(selectRows(rows, split.train).labels),
    reference: describeTraining({
      featureNames: rows.featureNames,
      columns: rows.columns,
      occurredAtMs: dataset.rows.occurredAtMs,
      train: split.train,
      holdout: split.holdout,
      labels: rows.labels,
      predictions: best.probabilities,
      windowMs: monitoredWindowMs(app.app),
    }),
    parameters: best.parameters,
    importance: [...best.importance],
  });
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
