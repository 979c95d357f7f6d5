import { create } from "@bufbuild/protobuf";
import {
  type QuantizationComparison,
  QuantizationComparisonSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";
import type { QuantizeOptions } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";
import { probabilitiesOf } from "../answers.ts";
import type { ModelledApp } from "../appRows.ts";
import type { Artefacts } from "../artefacts.ts";
import { answersOfArtefact } from "../evaluate.ts";
import { type Judged, judge, judgementOf } from "../judging.ts";
import type { Matrix } from "../matrix.ts";
import { inSpan } from "../spans.ts";
import { BINARY } from "../task.ts";
import { inModelProcess } from "./modelProcess.ts";
import type { QuantizeRequest } from "./modelTasks.ts";
import { type Answers, compareQuantized, firstImprobable, type Measured } from "./quantization.ts";
import type { Upload } from "./uploads.ts";

/** What an upload is tried on. */
export interface Trial {
  readonly upload: Upload;
  readonly app: ModelledApp;
  /** With the model's columns. */
  readonly rows: Matrix;
  readonly rowsAre: Measured["comparedOn"];
}

/** The file that is registered: the original, or the one in int8. */
export interface Chosen {
  readonly artefact: string;
  readonly judged: Judged;
  readonly comparison: QuantizationComparison | undefined;
  /** For the verdict. */
  readonly sentences: readonly string[];
}

/** As the gateway: where the app says nothing. */
const DEFAULT_BATCH_ROWS = 64;
const SMALL_BATCH_ROWS = 8;

/** Tries the file as it was uploaded and, where that was asked for, in int8; the one in int8 is taken when it does as well and is faster. */
export async function chooseArtefact(artefacts: Artefacts, trial: Trial, signal: AbortSignal): Promise<Chosen> {
  const { upload } = trial;
  const onnx = await artefacts.get(upload.artefact);
  const original = await inSpan("evaluate uploaded", {}, () => judgedOn(trial, onnx));
  const sentences = missingAnswers(probabilitiesOf(original.answers));
  const whole = { artefact: upload.artefact, judged: original, comparison: undefined, sentences };
  const { quantize } = upload;
  if (quantize === undefined) return whole;
  const { comparison, quantized } = await inSpan("quantize", {}, () => compare(trial, quantize, original, signal));
  if (quantized === undefined || !comparison.accepted) {
    return { ...whole, comparison, sentences: [...sentences, "It serves in float32.", ...comparison.verdict] };
  }
  const artefact = await artefacts.put(quantized.onnx);
  comparison.quantizedArtefact = artefact;
  return {
    artefact,
    judged: quantized,
    comparison,
    sentences: [...sentences, "It serves in int8.", ...comparison.verdict],
  };
}

async function judgedOn({ app, rows, rowsAre }: Trial, onnx: Uint8Array): Promise<Judged> {
  const model = { algorithm: "uploaded", onnx, parameters: "{}", importance: [], seconds: 0 };
  if (rowsAre === "labelled holdout") return { ...model, ...(await judge(onnx, rows, judgementOf(app))) };
  return { ...model, metrics: {}, answers: await answersOfArtefact(onnx, rows.columns, BINARY) };
}

/** @throws `failed_precondition` for an answer that is no probability */
function missingAnswers(probabilities: Float64Array): string[] {
  const wrong = firstImprobable(probabilities);
  if (wrong !== -1) {
    throw new MillraceError(
      "failed_precondition",
      `The model answers ${probabilities[wrong]} for row ${wrong}, which is no probability; end it with a Sigmoid, or export predict_proba`,
    );
  }
  const missing = probabilities.filter(Number.isNaN).length;
  if (missing === 0) return [];
  return [
    `${missing} of ${probabilities.length} rows get no number: features may be missing (NaN), so a model has to impute them itself.`,
  ];
}

async function compare(
  trial: Trial,
  options: QuantizeOptions,
  original: Judged,
  signal: AbortSignal,
): Promise<{ comparison: QuantizationComparison; quantized?: Judged }> {
  const { upload, app, rows, rowsAre } = trial;
  try {
    const { minWeights } = options;
    const request = { onnx: original.onnx, ...(minWeights === undefined ? {} : { minWeights }), ...batchesOf(trial) };
    const made = await inModelProcess("quantize", request, signal);
    const quantized = await judgedOn(trial, made.onnx);
    const comparison = compareQuantized({
      options,
      metric: app.model.metric,
      comparedOn: rowsAre,
      original: answersOf(original, upload.artefact, rowsAre),
      quantized: answersOf(quantized, "", rowsAre),
      ...made,
    });
    return { comparison, quantized };
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== "invalid_argument") throw error;
    const verdict = [`It could not be tried in int8: ${describeError(error)}.`];
    const { artefact: originalArtefact } = upload;
    const originalBytes = BigInt(original.onnx.length);
    const known = { accepted: false, comparedOn: rowsAre, rows: BigInt(rows.labels.length) };
    return { comparison: create(QuantizationComparisonSchema, { ...known, verdict, originalArtefact, originalBytes }) };
  }
}

const answersOf = ({ onnx, answers, metrics }: Judged, artefact: string, rowsAre: Measured["comparedOn"]): Answers => ({
  artefact,
  bytes: onnx.length,
  probabilities: probabilitiesOf(answers),
  ...(rowsAre === "labelled holdout" ? { metrics } : {}),
});

/** What the models are timed with: rows of the trial in batches of the sizes that the gateway will see. */
function batchesOf({ app, rows }: Trial): Pick<QuantizeRequest, "batchSizes" | "values" | "columns"> {
  const largest = app.app.serving?.batch?.maxSize || DEFAULT_BATCH_ROWS;
  const batchSizes = [...new Set([1, Math.min(SMALL_BATCH_ROWS, largest), largest])];
  const columns = rows.columns.length;
  const count = Math.min(largest, rows.labels.length);
  const values = new Float32Array(count * columns);
  for (const [column, of] of rows.columns.entries()) {
    for (let row = 0; row < count; row += 1) values[row * columns + column] = of[row] as number;
  }
  return { batchSizes, values, columns };
}
