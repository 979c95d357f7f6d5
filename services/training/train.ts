import { MillraceError } from "@millrace/runtime";
import { type Calibration, calibrated, fitCalibration, UNCALIBRATED } from "./calibration.ts";
import { boostedTreesToOnnx, constantToOnnx, logisticToOnnx } from "./export/onnx.ts";
import {
  BOOST_DEFAULTS,
  type BoostParameters,
  checkBoostParameters,
  scoreBoostedTrees,
  trainBoostedTrees,
} from "./gbdt/boost.ts";
import { LOGISTIC_DEFAULTS, type LogisticParameters, scoreLogistic, trainLogistic } from "./logistic.ts";
import { logit } from "./logOdds.ts";
import { baseRate, checkTrainable, columnsWithoutInformation, type Matrix } from "./matrix.ts";
import { verifyArtefact } from "./verify.ts";

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
  /** The trainer's own answers; the file's were found equal to them within 1e-5. */
  readonly predict: (columns: readonly Float64Array[]) => Float64Array;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Share of the split gain per feature; empty where it is not defined. */
  readonly importance: Float64Array;
  /** What somebody should know about the rows, in sentences; empty when all is well. */
  readonly warnings: readonly string[];
}

/** A fitted model, before calibration. */
interface Fitted {
  /** Log odds per row. */
  readonly score: (columns: readonly Float64Array[]) => Float64Array;
  readonly toOnnx: (calibration: Calibration) => Uint8Array;
  readonly calibrates: boolean;
  readonly parameters: Readonly<Record<string, unknown>>;
  readonly importance: Float64Array;
}

/**
 * Trains, calibrates, exports and verifies one candidate.
 *
 * @throws `failed_precondition` for rows that cannot be trained on, `invalid_argument` for parameters out of their range (both before
 * any time is spent), `internal` when the file does not answer as the trainer does; the signal's reason when cancelled
 */
export async function trainCandidate(request: TrainRequest): Promise<TrainedCandidate> {
  const { train, calibration, seed } = request;
  const warnings = checkRows(request);
  const fitted = await FITTERS[request.algorithm](request);
  const rows = { ...calibration, scores: fitted.score(calibration.columns) };
  const chosen = fitted.calibrates ? fitCalibration(rows) : UNCALIBRATED;
  const onnx = fitted.toOnnx(chosen);
  const predict = (columns: readonly Float64Array[]): Float64Array => calibrated(fitted.score(columns), chosen);
  await verifyArtefact(onnx, predict, train);
  const parameters = { ...fitted.parameters, seed, calibration: chosen };
  return { onnx, predict, parameters, importance: fitted.importance, warnings };
}

const FITTERS: Readonly<Record<TrainerAlgorithm, (request: TrainRequest) => Promise<Fitted>>> = {
  gbdt: fitGbdt,
  logistic: fitLogistic,
  baseline: fitBaseline,
};

async function fitGbdt({
  train,
  validation,
  parameters,
  threads = 1,
  signal,
  onProgress,
}: TrainRequest): Promise<Fitted> {
  const all: BoostParameters = pick({ ...BOOST_DEFAULTS, ...parameters }, BOOST_DEFAULTS);
  checkBoostParameters(all);
  const model = await trainBoostedTrees(train, validation, all, {
    threads,
    signal,
    onTree: (tree) => onProgress?.(tree / all.trees, `tree ${tree} of at most ${all.trees}`),
  });
  return {
    score: (columns) => scoreBoostedTrees(model, columns),
    toOnnx: (calibration) => boostedTreesToOnnx(model, calibration, train.featureNames),
    calibrates: true,
    parameters: { ...all, trees_kept: model.trees.length },
    importance: model.importance,
  };
}

function fitLogistic({ train, parameters, signal, onProgress }: TrainRequest): Promise<Fitted> {
  const all: LogisticParameters = pick({ ...LOGISTIC_DEFAULTS, ...parameters }, LOGISTIC_DEFAULTS);
  const model = trainLogistic(train, all, signal);
  onProgress?.(1, "logistic regression");
  return Promise.resolve({
    score: (columns) => scoreLogistic(model, columns),
    toOnnx: (calibration) => logisticToOnnx(model, calibration, train.featureNames),
    calibrates: true,
    parameters: { ...all },
    importance: new Float64Array(0),
  });
}

function fitBaseline({ train }: TrainRequest): Promise<Fitted> {
  const score = logit(baseRate(train));
  return Promise.resolve({
    score: (columns) => new Float64Array(columns[0]?.length ?? 0).fill(score),
    toOnnx: () => constantToOnnx(score, train.featureNames),
    calibrates: false,
    parameters: {},
    importance: new Float64Array(0),
  });
}

/** Returns warnings. */
function checkRows({ algorithm, train, validation, calibration }: TrainRequest): string[] {
  checkTrainable(train);
  for (const [name, part] of Object.entries({ validation, calibration })) {
    if (part.featureNames.join() !== train.featureNames.join()) {
      const features = `the ${name} rows have the features ${part.featureNames.join(", ")}`;
      throw new MillraceError("failed_precondition", `${features}, those to train on ${train.featureNames.join(", ")}`);
    }
    const row = part.labels.findIndex((label) => label !== 0 && label !== 1);
    if (row !== -1) {
      const rule = "a binary label is 0 or 1";
      throw new MillraceError("failed_precondition", `${name} row ${row} has the label ${part.labels[row]}; ${rule}`);
    }
  }
  const useless = columnsWithoutInformation(train);
  if (algorithm !== "baseline" && useless.length === train.columns.length) {
    const advice = "look at the features' windows and entities, or train the baseline only";
    throw new MillraceError("failed_precondition", `no feature varies: ${useless.join("; ")}: ${advice}`);
  }
  return useless.map((what) => `The feature ${what} to train on: the model learns nothing from it.`);
}

/** Leaves out the parameters of other algorithms. */
function pick<Parameters extends object>(all: Parameters, known: Parameters): Parameters {
  return Object.fromEntries(Object.entries(all).filter(([name]) => name in known)) as Parameters;
}
