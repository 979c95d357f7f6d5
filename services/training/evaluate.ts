import { setImmediate } from "node:timers/promises";
import { openSession } from "@millrace/onnx";
import { MillraceError } from "@millrace/runtime";
import { Tensor } from "onnxruntime-node";
import { INPUT, OUTPUT } from "./export/onnx.ts";

/** Rows per run: large enough that a run's overhead vanishes. */
const MAX_BATCH_ROWS = 8_192;
const FIRST_BATCH_ROWS = 8;
/** A run blocks the thread: batches grow while they take less than this, so that heartbeats and calls get through. */
const RUN_MS = 50;

/**
 * The answers of an ONNX artefact, the very file that will be served.
 *
 * @param columns in the order of the artefact's inputs; NaN is missing
 * @throws `invalid_argument` for an artefact that cannot be loaded or does not fit
 */
export async function predictWithArtefact(onnx: Uint8Array, columns: readonly Float64Array[]): Promise<Float64Array> {
  const session = await openSession(onnx);
  try {
    const rows = columns[0]?.length ?? 0;
    const probabilities = new Float64Array(rows);
    let batchRows = FIRST_BATCH_ROWS;
    for (let start = 0; start < rows; ) {
      const count = Math.min(batchRows, rows - start);
      const beganMs = performance.now();
      const answers = await session.run({ [INPUT]: inputTensor(columns, start, count) });
      if (performance.now() - beganMs < RUN_MS / 2) batchRows = Math.min(MAX_BATCH_ROWS, batchRows * 2);
      const output = answers[OUTPUT]?.data;
      if (!(output instanceof Float32Array) || output.length !== count) {
        throw new MillraceError(
          "invalid_argument",
          `The artefact does not answer ${count} rows of "${OUTPUT}" with ${count} numbers`,
        );
      }
      probabilities.set(output, start);
      start += count;
      await setImmediate();
    }
    return probabilities;
  } finally {
    await session.release();
  }
}

function inputTensor(columns: readonly Float64Array[], start: number, count: number): Tensor {
  const width = columns.length;
  const values = new Float32Array(count * width);
  for (const [feature, column] of columns.entries()) {
    for (let row = 0; row < count; row += 1) values[row * width + feature] = column[start + row] as number;
  }
  return new Tensor("float32", values, [count, width]);
}
