import { durationToMs } from "@millrace/app";
import { Algorithm, type Baseline, type Model, Monotone } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { DEFAULT_COVERAGE } from "./calibration/conformal.ts";
import type { BuiltDataset } from "./dataset.ts";
import { type Matrix, selectRows } from "./matrix.ts";
import type { Split } from "./split.ts";
import { taskOf } from "./task.ts";
import type { BaselineKind } from "./trainers/baseline.ts";
import type { TrainerAlgorithm, TrainRequest } from "./trainRequest.ts";

/** The rows of each part, with what the app says of its columns. */
export interface CandidateRows {
  readonly train: Matrix;
  readonly validation: Matrix;
  readonly calibration: Matrix;
  readonly holdout: Matrix;
}

/** The parts of a dataset as a trainer gets them. Rows to train and calibrate on count less the older they are, where the app says so. */
export function candidateRows({ rows }: BuiltDataset, split: Split, model: Model): CandidateRows {
  const { featureNames } = rows;
  const matrix: Matrix = {
    featureNames,
    columns: rows.columns,
    labels: rows.labels,
    categorical: model.categorical.filter((name) => featureNames.includes(name)),
  };
  const halfLifeMs = durationToMs(model.halfLife);
  const newestMs = split.holdout.reduce((newest, row) => Math.max(newest, rows.occurredAtMs[row] as number), 0);
  const weights =
    halfLifeMs === undefined
      ? undefined
      : rows.occurredAtMs.map((time) => 0.5 ** Math.max(0, (newestMs - time) / halfLifeMs));
  const weighted = weights === undefined ? matrix : { ...matrix, weights };
  return {
    train: selectRows(weighted, split.train),
    validation: selectRows(weighted, split.validation),
    calibration: selectRows(weighted, split.calibration),
    holdout: selectRows(matrix, split.holdout),
  };
}

const ALGORITHMS: Readonly<Partial<Record<Algorithm, TrainerAlgorithm>>> = {
  [Algorithm.GBDT]: "gbdt",
  [Algorithm.LOGISTIC]: "logistic",
  [Algorithm.LINEAR]: "linear",
  [Algorithm.BASELINE]: "baseline",
};

/** What is to be trained, in the app's order. */
export function requestsOf(
  model: Model,
  { train, validation, calibration }: Omit<CandidateRows, "holdout">,
  others: Pick<TrainRequest, "threads" | "signal" | "onProgress">,
): TrainRequest[] {
  const monotone = Object.entries(model.monotone)
    .filter(([name]) => train.featureNames.includes(name))
    .map(([name, direction]): [string, 1 | -1] => [name, direction === Monotone.INCREASING ? 1 : -1]);
  return model.candidates.flatMap((candidate) => {
    const algorithm = ALGORITHMS[candidate];
    if (algorithm === undefined) return [];
    return {
      algorithm,
      task: taskOf(model),
      train,
      validation,
      calibration,
      monotone: Object.fromEntries(monotone),
      coverage: model.coverage || DEFAULT_COVERAGE,
      baseline: baselineOf(model.baseline),
      seed: model.seed,
      ...others,
    };
  });
}

function baselineOf(baseline: Baseline | undefined): BaselineKind {
  const { case: kind, value: feature = "" } = baseline?.kind ?? {};
  if (kind === "lastValue") return { kind: "last_value", feature };
  return kind === "segmentMean" ? { kind: "segment_mean", feature } : { kind: "prior" };
}
