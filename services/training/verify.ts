import { MillraceError } from "@millrace/runtime";
import { predictWithArtefact } from "./evaluate.ts";
import type { Matrix } from "./matrix.ts";

/** Largest difference of two probabilities that float32 arithmetic may make. */
const TOLERANCE = 1e-5;
const MAX_ROWS = 10_000;

/**
 * Checks that the model file answers as its trainer does: on up to 10,000 rows, evenly spread, within 1e-5. Serving then cannot
 * disagree with what was trained.
 *
 * @param predict the trainer's own answers
 * @throws `internal` naming the row and both answers
 */
export async function verifyArtefact(
  onnx: Uint8Array,
  predict: (columns: readonly Float64Array[]) => Float64Array,
  { columns, labels }: Matrix,
): Promise<void> {
  const count = Math.min(MAX_ROWS, labels.length);
  const rows = Uint32Array.from({ length: count }, (_, index) => Math.floor((index * labels.length) / count));
  const chosen = columns.map((column) => Float64Array.from(rows, (row) => column[row] as number));
  const own = predict(chosen);
  const served = await predictWithArtefact(onnx, chosen);
  for (let index = 0; index < count; index += 1) {
    const difference = Math.abs((own[index] as number) - (served[index] as number));
    if (difference <= TOLERANCE) continue;
    const answers = `the model file answers ${served[index]}, its trainer ${own[index]}`;
    throw new MillraceError("internal", `row ${rows[index]}: ${answers}; the export is wrong, and must not be served`);
  }
}
