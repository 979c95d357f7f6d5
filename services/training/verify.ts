import { MillraceError } from "@millrace/runtime";
import type { Answers } from "./answers.ts";
import { answersOfArtefact } from "./evaluate.ts";
import type { Matrix } from "./matrix.ts";
import { BINARY, type Task } from "./task.ts";

/** Largest difference that float32 arithmetic may make: of two probabilities, or of two numbers in units of their deviation. */
const TOLERANCE = 1e-5;
const MAX_ROWS = 10_000;

/**
 * Checks that the model file answers as its trainer does: on up to 10,000 rows, evenly spread, within 1e-5; of numbers, within 1e-5 of
 * the labels' standard deviation, or of their own size, where that is larger. Serving then cannot disagree with what was trained.
 *
 * @param predict the trainer's own answers
 * @param threshold least probability of the classes in a set
 * @throws `internal` naming the row and both answers
 */
export async function verifyArtefact(
  onnx: Uint8Array,
  predict: (columns: readonly Float64Array[]) => Answers,
  { columns, labels }: Matrix,
  task: Task = BINARY,
  threshold = 0,
): Promise<void> {
  const count = Math.min(MAX_ROWS, labels.length);
  const rows = Uint32Array.from({ length: count }, (_, index) => Math.floor((index * labels.length) / count));
  const chosen = columns.map((column) => Float64Array.from(rows, (row) => column[row] as number));
  const own = predict(chosen);
  const served = await answersOfArtefact(onnx, chosen, task);
  const unit = task.kind === "regression" ? standardDeviation(labels) : 1;
  const [ofTrainer, ofFile] = [numbersOf(own), numbersOf(served)];
  for (const [name, values] of Object.entries(ofTrainer)) {
    const others = ofFile[name] as Float64Array;
    for (let index = 0; index < count; index += 1) {
      const [expected, found] = [values[index] as number, others[index] as number];
      const allowed = task.kind === "regression" ? TOLERANCE * Math.max(unit, Math.abs(expected)) : TOLERANCE;
      if (Math.abs(expected - found) <= allowed) continue;
      const answers = `the model file answers ${found} as ${name}, its trainer ${expected}`;
      throw new MillraceError(
        "internal",
        `row ${rows[index]}: ${answers}; the export is wrong, and must not be served`,
      );
    }
  }
  verifySets(own, served, rows, threshold);
}

/** All numbers of answers, by what they are. */
function numbersOf(answers: Answers): Readonly<Record<string, Float64Array>> {
  switch (answers.kind) {
    case "binary":
      return { probability: answers.probabilities };
    case "multiclass":
      return Object.fromEntries(answers.probabilities.map((own, label) => [`probabilities[${label}]`, own]));
    case "regression":
      return { value: answers.values, lower: answers.lower, upper: answers.upper };
  }
}

/** A class may be in one set and not in the other only where its probability is all but the least one of the set. */
function verifySets(own: Answers, served: Answers, rows: Uint32Array, threshold: number): void {
  if (own.kind !== "multiclass" || served.kind !== "multiclass") return;
  for (let index = 0; index < rows.length; index += 1) {
    const largest = Math.max(...own.probabilities.map((of) => of[index] as number));
    for (const [label, set] of own.sets.entries()) {
      if (set[index] === served.sets[label]?.[index]) continue;
      const probability = own.probabilities[label]?.[index] as number;
      if (Math.abs(probability - Math.min(threshold, largest)) <= TOLERANCE) continue;
      throw new MillraceError(
        "internal",
        `row ${rows[index]}: the model file's set and its trainer's differ in class ${label}; the export is wrong, and must not be served`,
      );
    }
  }
}

function standardDeviation(values: Float64Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}
