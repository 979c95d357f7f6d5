import { calibrated, fitCalibration, logit, UNCALIBRATED } from "./calibration.ts";
import { boostedTreesToOnnx, constantToOnnx, logisticToOnnx } from "./export/onnx.ts";
import { BOOST_DEFAULTS, type BoostParameters, scoreBoostedTrees, trainBoostedTrees } from "./gbdt/boost.ts";
import { LOGISTIC_DEFAULTS, type LogisticParameters, scoreLogistic, trainLogistic } from "./logistic.ts";
import { baseRate, checkTrainable, type Matrix } from "./matrix.ts";

export type TrainerAlgorithm = "gbdt" | "logistic" | "baseline";

export interface TrainRequest {
  readonly algorithm: TrainerAlgorithm;
  readonly train: Matrix;
  /** Decides when to stop boosting. */
  readonly validation: Matrix;
  /** Seen by nothing but the calibration; rows in order of time. */
  readonly calibration: Matrix;
  /** What differs from the algorithm's defaults. */
  readonly parameters?: Partial<BoostParameters & LogisticParameters>;
  /** Kept with the parameters; nothing in these algorithms is drawn at random. */
  readonly seed?: number;
  readonly threads?: number;
  readonly signal?: AbortSignal;
  /** Share done, 0 to 1, and what is being done. */
  readonly onProgress?: (share: number, what: string) => void;
}

export interface TrainedCandidate {
  /** Preprocessing, model and calibration in one file: `features` float32 [rows, features] to `probability` float32 [rows, 1]. */
  readonly onnx: Uint8Array;
  /** The trainer's own answers, which the artefact's must equal within 1e-5. */
  readonly predict: (columns: readonly Float64Array[]) => Float64Array;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Share of the split gain per feature; empty where it is not defined. */
  readonly importance: Float64Array;
}

/** Trains, calibrates and exports one candidate. @throws `failed_precondition` for rows that cannot be trained on. */
export async function trainCandidate(request: TrainRequest): Promise<TrainedCandidate> {
  checkTrainable(request.train);
  switch (request.algorithm) {
    case "gbdt":
      return trainGbdtCandidate(request);
    case "logistic":
      return trainLogisticCandidate(request);
    case "baseline":
      return trainBaselineCandidate(request);
  }
}

async function trainGbdtCandidate(request: TrainRequest): Promise<TrainedCandidate> {
  const parameters = { ...BOOST_DEFAULTS, ...request.parameters };
  const model = await trainBoostedTrees(request.train, request.validation, parameters, {
    threads: request.threads ?? 1,
    signal: request.signal,
    onTree: (tree) => request.onProgress?.(tree / parameters.trees, `tree ${tree} of at most ${parameters.trees}`),
  });
  const score = (columns: readonly Float64Array[]): Float64Array => scoreBoostedTrees(model, columns);
  const calibration = fitCalibration(score(request.calibration.columns), request.calibration.labels);
  return {
    onnx: boostedTreesToOnnx(model, calibration, request.train.featureNames),
    predict: (columns) => calibrated(score(columns), calibration),
    parameters: { ...parameters, seed: request.seed, trees_kept: model.trees.length, calibration },
    importance: model.importance,
  };
}

async function trainLogisticCandidate(request: TrainRequest): Promise<TrainedCandidate> {
  const parameters = { ...LOGISTIC_DEFAULTS, ...request.parameters };
  const model = trainLogistic(request.train, parameters, request.signal);
  request.onProgress?.(1, "logistic regression");
  const score = (columns: readonly Float64Array[]): Float64Array => scoreLogistic(model, columns);
  const calibration = fitCalibration(score(request.calibration.columns), request.calibration.labels);
  return {
    onnx: logisticToOnnx(model, calibration, request.train.featureNames),
    predict: (columns) => calibrated(score(columns), calibration),
    parameters: { ...parameters, seed: request.seed, calibration },
    importance: new Float64Array(0),
  };
}

async function trainBaselineCandidate(request: TrainRequest): Promise<TrainedCandidate> {
  const score = logit(baseRate(request.train));
  const scores = (columns: readonly Float64Array[]): Float64Array =>
    new Float64Array(columns[0]?.length ?? 0).fill(score);
  return {
    onnx: constantToOnnx(score, request.train.featureNames),
    predict: (columns) => calibrated(scores(columns), UNCALIBRATED),
    parameters: { seed: request.seed },
    importance: new Float64Array(0),
  };
}
