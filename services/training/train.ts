import type { Answers } from "./answers.ts";
import { DEFAULT_COVERAGE } from "./calibration/conformal.ts";
import { encodeCategories } from "./categories.ts";
import { toOnnx } from "./export/artefact.ts";
import { answer, fitHead, type Head } from "./head.ts";
import { columnsWithoutInformation, type Matrix } from "./matrix.ts";
import { type PreparedRows, prepareRows } from "./prepareRows.ts";
import { BINARY } from "./task.ts";
import { fitBaseline } from "./trainers/baseline.ts";
import { fitGbdt } from "./trainers/gbdt.ts";
import { fitLinear } from "./trainers/linear.ts";
import type { Fitted, TrainerOptions } from "./trainers/trainer.ts";
import { checkRequest, type TrainRequest } from "./trainRequest.ts";
import { verifyArtefact } from "./verify.ts";

export interface TrainedCandidate {
  /** Preprocessing, model, calibration and intervals in one file; `export/onnx.ts` names its input and outputs. */
  readonly onnx: Uint8Array;
  /** The trainer's own answers; the file's were found equal to them within 1e-5. */
  readonly predict: (columns: readonly Float64Array[]) => Answers;
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Share of the split gain per feature; empty where it is not defined. */
  readonly importance: Float64Array;
  /** What somebody should know about the rows, in sentences; empty when all is well. */
  readonly warnings: readonly string[];
}

/**
 * Trains, calibrates, exports and verifies one candidate.
 *
 * @throws `failed_precondition` for rows that cannot be trained on, `invalid_argument` for parameters out of their range (both before
 * any time is spent), `internal` when the file does not answer as the trainer does; the signal's reason when cancelled
 */
export async function trainCandidate(request: TrainRequest): Promise<TrainedCandidate> {
  const { train, calibration, task = BINARY, coverage = DEFAULT_COVERAGE, seed } = request;
  checkRequest(request, task);
  const prepared = prepareRows(request, task);
  const { codes, labelScale } = prepared;
  const fitted = await fit(request, prepared);
  const columnsOf = (columns: readonly Float64Array[]): readonly Float64Array[] =>
    fitted.takesCodes ? encodeCategories(columns, codes) : columns;
  const scores = fitted.score(columnsOf(calibration.columns));
  const head = fitHead({ task, scores, rows: calibration, labelScale, coverage, calibrates: fitted.calibrates });
  const { featureNames } = train;
  const onnx = toOnnx({ ...fitted, featureNames, codes: fitted.takesCodes ? codes : [] }, head);
  const predict = (columns: readonly Float64Array[]): Answers => answer(head, fitted.score(columnsOf(columns)));
  await verifyArtefact(onnx, predict, train, task, head.kind === "multiclass" ? head.threshold : undefined);
  const parameters = { ...fitted.parameters, seed, ...headParameters(head, coverage) };
  return { onnx, predict, parameters, importance: fitted.importance, warnings: warningsOf(train) };
}

type FitRequest = Pick<
  TrainRequest,
  "algorithm" | "baseline" | "parameters" | "seed" | "threads" | "signal" | "onProgress"
>;

/** The fitted model alone, before calibration and export: what a search compares. */
export function fit(request: FitRequest, prepared: PreparedRows): Promise<Fitted> {
  const { algorithm, parameters = {}, seed = 0, threads = 1, signal, onProgress } = request;
  const options: TrainerOptions = { parameters, seed, threads, signal, onProgress };
  switch (algorithm) {
    case "gbdt":
      return fitGbdt(prepared, options);
    case "logistic":
    case "linear":
      return fitLinear(prepared, options);
    case "baseline":
      return Promise.resolve(fitBaseline(prepared, request.baseline ?? { kind: "prior" }, prepared.labelScale));
  }
}

function headParameters(head: Head, coverage: number): Readonly<Record<string, unknown>> {
  switch (head.kind) {
    case "binary":
      return { calibration: head.calibration };
    case "multiclass":
      return { calibration: head.calibration, coverage, set_threshold: head.threshold };
    case "regression":
      return { coverage, interval: { below: head.below, above: head.above } };
  }
}

/** What somebody should know about the rows to train on. */
export function warningsOf(train: Matrix): string[] {
  return columnsWithoutInformation(train).map(
    (what) => `The feature ${what} to train on: the model learns nothing from it.`,
  );
}
