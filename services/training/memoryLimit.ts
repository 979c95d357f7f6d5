import { MillraceError } from "@millrace/runtime";

/** Of each value: once in the dataset, and once in the parts that are trained on, calibrated and judged by. */
const BYTES_PER_VALUE = 16;
/** Of each value in training: its bin. */
const BIN_BYTES = 1;
/** Of each row in training: order, derivatives, scores, and room to move them. */
const BYTES_PER_ROW = 64;

/** About how much memory a training needs. */
export const trainingBytes = (rows: number, features: number): number =>
  rows * ((features + 2) * (BYTES_PER_VALUE + BIN_BYTES) + BYTES_PER_ROW);

/** @throws `resource_exhausted` for a dataset that is too large, before any of it is read */
export function checkMemory(rows: number, features: number, limitBytes: number): void {
  const bytes = trainingBytes(rows, features);
  if (bytes <= limitBytes) return;
  const mebibytes = (of: number): string => `${Math.ceil(of / 2 ** 20).toLocaleString("en-US")} MiB`;
  const advice =
    "take a shorter model.history, leave features out, or give the service more (TRAINING_MAX_MEMORY_BYTES)";
  throw new MillraceError(
    "resource_exhausted",
    `A training of ${rows.toLocaleString("en-US")} rows with ${features} features needs about ${mebibytes(bytes)}; ${mebibytes(limitBytes)} are allowed: ${advice}`,
  );
}
