import { modelBytes, openSession, parseModel, type Quantized, quantizeDense, readSignature } from "@millrace/onnx";
import { MillraceError } from "@millrace/runtime";
import { type InferenceSession, Tensor } from "onnxruntime-node";
import { INPUT, OUTPUT } from "../export/onnx.ts";
import { checkInput, fitModel, misfit, PROBE_ROWS, type ProbedOutput } from "./fitModel.ts";
import { sampleRows } from "./sampleRows.ts";

/** What is done with a model that nobody knows yet, in a process of its own: see `inModelProcess`. */
export interface ModelTasks {
  check(request: CheckRequest): Promise<CheckedModel>;
  quantize(request: QuantizeRequest): Promise<QuantizedModel>;
}

export interface CheckRequest {
  readonly onnx: Uint8Array;
  readonly columns: number;
}

export interface CheckedModel {
  /** `features` float32 [rows, columns] to `probability` float32 [rows, 1]. */
  readonly onnx: Uint8Array;
  /** What was changed for that, a sentence each. */
  readonly adaptations: readonly string[];
}

export interface QuantizeRequest {
  readonly onnx: Uint8Array;
  /** Absent: the library's own. */
  readonly minWeights?: number;
  /** What both models are timed with. */
  readonly batchSizes: readonly number[];
  /** Row after row; used again from the beginning when a batch needs more. */
  readonly values: Float32Array;
  readonly columns: number;
}

export interface QuantizedModel extends Pick<Quantized, "layers" | "skipped"> {
  readonly onnx: Uint8Array;
  /** In the order of the batch sizes; none when nothing was quantized. */
  readonly timings: readonly Timing[];
}

/** Milliseconds of one run, the median of several. */
export interface Timing {
  readonly batchRows: number;
  readonly originalMs: number;
  readonly quantizedMs: number;
}

/** Rows that are calculated together and one by one. */
const PROOF_ROWS = 16;
/** As where it is served: sums in another order may differ in the last bits. */
const TOLERANCE = 1e-5;
/** Runs of each model per batch size; fewer of a slow one, but an odd number. */
const MAX_ROUNDS = 25;
const MIN_ROUNDS = 5;
const BUDGET_MS = 2_000;

export const modelTasks: ModelTasks = { check: checkModel, quantize: quantizeModel };

/**
 * Proves that a model loads, runs and answers probabilities, each row as if it were alone, and brings it into the form of a version.
 *
 * @throws `invalid_argument` saying which of that does not hold, and what to do
 */
async function checkModel({ onnx, columns }: CheckRequest): Promise<CheckedModel> {
  const model = parseModel(onnx);
  const input = checkInput(readSignature(onnx), columns);
  const outputs = await withSession(onnx, (session) => probe(session, input, columns));
  const adaptations = fitModel(model, input, outputs);
  const fitted = adaptations.length === 0 ? onnx : modelBytes(model);
  await withSession(fitted, (session) => prove(session, columns));
  return { onnx: fitted, adaptations };
}

async function probe(session: InferenceSession, input: string, columns: number): Promise<ProbedOutput[]> {
  const tensor = new Tensor("float32", sampleRows(PROBE_ROWS, columns), [PROBE_ROWS, columns]);
  const answers = await run(session, { [input]: tensor });
  return session.outputNames.map((name) => {
    const { type = "nothing", dims = [] } = answers[name] ?? {};
    return { name, type, dims };
  });
}

async function prove(session: InferenceSession, columns: number): Promise<void> {
  const rows = sampleRows(PROOF_ROWS, columns);
  const together = await answer(session, rows, columns);
  for (const [row, probability] of together.entries()) {
    if (!(probability >= 0 && probability <= 1)) {
      throw misfit(
        `it answers ${probability}, which is no probability; end it with a Sigmoid, or export predict_proba`,
      );
    }
    const [alone = Number.NaN] = await answer(session, rows.slice(row * columns, (row + 1) * columns), columns);
    if (Math.abs(alone - probability) <= TOLERANCE) continue;
    const advice =
      "layers that look at the whole batch do that, such as batch normalisation that is still training, or the dynamic quantization of onnxruntime: upload the float model and have it quantized here";
    throw misfit(`a row gets ${probability} in a batch of ${PROOF_ROWS} and ${alone} alone; ${advice}`);
  }
}

async function answer(session: InferenceSession, values: Float32Array, columns: number): Promise<Float32Array> {
  const rows = values.length / columns;
  const { [OUTPUT]: output } = await run(session, { [INPUT]: new Tensor("float32", values, [rows, columns]) });
  if (output?.data instanceof Float32Array && output.data.length === rows) return output.data;
  throw misfit(
    `it answers ${rows} rows with ${output?.type ?? "nothing"} [${output?.dims.join(", ") ?? ""}]; expected float32 [${rows}, 1]`,
  );
}

async function run(session: InferenceSession, feeds: Record<string, Tensor>): Promise<InferenceSession.ReturnType> {
  try {
    return await session.run(feeds);
  } catch (cause) {
    throw new MillraceError(
      "invalid_argument",
      `The model loads, but its run fails: ${String(cause)}; try it with onnxruntime`,
      { cause },
    );
  }
}

async function quantizeModel(request: QuantizeRequest): Promise<QuantizedModel> {
  const { onnx, minWeights } = request;
  const { model, layers, skipped } = quantizeDense(parseModel(onnx), minWeights === undefined ? {} : { minWeights });
  const quantized = modelBytes(model);
  const timings = layers.length === 0 ? [] : await timeModels(onnx, quantized, request);
  return { onnx: quantized, layers, skipped, timings };
}

/** Both models in turn, so that whatever else the machine does slows down both. */
function timeModels(
  original: Uint8Array,
  quantized: Uint8Array,
  { batchSizes, values, columns }: QuantizeRequest,
): Promise<Timing[]> {
  return withSession(original, (first) =>
    withSession(quantized, async (second) => {
      const timings: Timing[] = [];
      for (const batchRows of batchSizes) {
        const batch = Float32Array.from(
          { length: batchRows * columns },
          (_, index) => values[index % values.length] as number,
        );
        const times: [number[], number[]] = [[], []];
        const untilMs = performance.now() + BUDGET_MS;
        await answer(first, batch, columns);
        await answer(second, batch, columns);
        for (let round = 0; round < MAX_ROUNDS; round += 1) {
          if (round >= MIN_ROUNDS && round % 2 === 1 && performance.now() > untilMs) break;
          times[0].push(await timed(() => answer(first, batch, columns)));
          times[1].push(await timed(() => answer(second, batch, columns)));
        }
        timings.push({ batchRows, originalMs: median(times[0]), quantizedMs: median(times[1]) });
      }
      return timings;
    }),
  );
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return performance.now() - beganMs;
}

const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[times.length >> 1] ?? Number.NaN;

async function withSession<Result>(
  onnx: Uint8Array,
  use: (session: InferenceSession) => Promise<Result>,
): Promise<Result> {
  const session = await openSession(onnx);
  try {
    return await use(session);
  } finally {
    await session.release();
  }
}
