import { setImmediate } from "node:timers/promises";
import { openSession } from "@millrace/onnx";
import { MillraceError } from "@millrace/runtime";
import { type InferenceSession, Tensor } from "onnxruntime-node";
import { type Answers, probabilitiesOf } from "./answers.ts";
import { CLASS_OUTPUT, INPUT, LOWER_OUTPUT, OUTPUT, SET_OUTPUT, UPPER_OUTPUT, VALUE_OUTPUT } from "./export/onnx.ts";
import { BINARY, type Task } from "./task.ts";

/** Rows per run: large enough that a run's overhead vanishes. */
const MAX_BATCH_ROWS = 8_192;
const FIRST_BATCH_ROWS = 8;
/** A run blocks the thread: batches grow while they take less than this, so that heartbeats and calls get through. */
const RUN_MS = 50;

/** A loaded artefact, the very file that will be served. */
export interface LoadedArtefact {
  readonly session: InferenceSession;
  /**
   * @param columns in the order of the artefact's inputs; NaN is missing
   * @throws `invalid_argument` where it does not fit the task
   */
  answers(columns: readonly Float64Array[], task: Task): Promise<Answers>;
}

/**
 * Loads an artefact for as long as it is used.
 *
 * @throws `invalid_argument` for an artefact that cannot be loaded
 */
export async function withArtefact<Result>(
  onnx: Uint8Array,
  use: (artefact: LoadedArtefact) => Promise<Result>,
): Promise<Result> {
  const session = await openSession(onnx);
  try {
    return await use({ session, answers: (columns, task) => answersOf(session, columns, task) });
  } finally {
    await session.release();
  }
}

/** The answers of an artefact that is used once. @throws as `withArtefact` and its `answers` */
export const answersOfArtefact = (onnx: Uint8Array, columns: readonly Float64Array[], task: Task): Promise<Answers> =>
  withArtefact(onnx, (artefact) => artefact.answers(columns, task));

/** The same for a binary model: a probability for each row. */
export async function predictWithArtefact(onnx: Uint8Array, columns: readonly Float64Array[]): Promise<Float64Array> {
  return probabilitiesOf(await answersOfArtefact(onnx, columns, BINARY));
}

async function answersOf(session: InferenceSession, columns: readonly Float64Array[], task: Task): Promise<Answers> {
  switch (task.kind) {
    case "binary": {
      const [[probabilities]] = (await runSession(session, columns, [{ name: OUTPUT, width: 1 }])) as [[Float64Array]];
      return { kind: "binary", probabilities };
    }
    case "multiclass": {
      const width = task.classes.length;
      const outputs = [
        { name: CLASS_OUTPUT, width },
        { name: SET_OUTPUT, width },
      ] as const;
      const [probabilities, sets] = await runSession(session, columns, outputs);
      return { kind: "multiclass", probabilities, sets: sets.map((column) => Uint8Array.from(column)) };
    }
    case "regression": {
      const outputs = [VALUE_OUTPUT, LOWER_OUTPUT, UPPER_OUTPUT].map((name) => ({ name, width: 1 }));
      const [[values], [lower], [upper]] = (await runSession(session, columns, outputs)) as [
        [Float64Array],
        [Float64Array],
        [Float64Array],
      ];
      return { kind: "regression", values, lower, upper };
    }
  }
}

/** An output float32 or bool [rows, width]. */
interface ExpectedOutput {
  readonly name: string;
  readonly width: number;
}

/** Of each output its columns. */
async function runSession<const Outputs extends readonly ExpectedOutput[]>(
  session: InferenceSession,
  columns: readonly Float64Array[],
  outputs: Outputs,
): Promise<{ [Index in keyof Outputs]: Float64Array[] }> {
  const rows = columns[0]?.length ?? 0;
  const results = outputs.map(({ width }) => Array.from({ length: width }, () => new Float64Array(rows)));
  let batchRows = FIRST_BATCH_ROWS;
  for (let start = 0; start < rows; ) {
    const count = Math.min(batchRows, rows - start);
    const beganMs = performance.now();
    const answers = await session.run({ [INPUT]: inputTensor(columns, start, count) });
    if (performance.now() - beganMs < RUN_MS / 2) batchRows = Math.min(MAX_BATCH_ROWS, batchRows * 2);
    for (const [index, output] of outputs.entries()) {
      copyColumns(valuesOf(answers[output.name], output, count), results[index] as Float64Array[], start);
    }
    start += count;
    await setImmediate();
  }
  return results as { [Index in keyof Outputs]: Float64Array[] };
}

function valuesOf(tensor: Tensor | undefined, { name, width }: ExpectedOutput, rows: number): ArrayLike<number> {
  const values: unknown = tensor?.data;
  const isNumeric = values instanceof Float32Array || values instanceof Uint8Array;
  if (isNumeric && values.length === rows * width) return values;
  const has = tensor === undefined ? "none" : `${tensor.type} [${tensor.dims.join(", ")}]`;
  throw new MillraceError(
    "invalid_argument",
    `The artefact answers ${rows} rows with ${has} as "${name}"; expected ${rows * width} numbers, [${rows}, ${width}]`,
  );
}

function copyColumns(values: ArrayLike<number>, columns: readonly Float64Array[], start: number): void {
  const width = columns.length;
  for (const [column, into] of columns.entries()) {
    const rows = values.length / width;
    for (let row = 0; row < rows; row += 1) into[start + row] = values[row * width + column] as number;
  }
}

export function inputTensor(columns: readonly Float64Array[], start: number, count: number): Tensor {
  const width = columns.length;
  const values = new Float32Array(count * width);
  for (const [feature, column] of columns.entries()) {
    for (let row = 0; row < count; row += 1) values[row * width + feature] = column[start + row] as number;
  }
  return new Tensor("float32", values, [count, width]);
}
