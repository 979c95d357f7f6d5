import type { FeatureReference, ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { randomNumbers } from "./randomNumbers.ts";
import { InferenceThread } from "./workers/inferenceThread.ts";
import { INPUT, OUTPUT, type Signature } from "./workers/session.ts";

/** Milliseconds of one run by batch size, as measured in a worker: the median of several. */
export type RunCosts = ReadonlyMap<number, number>;

/** A model that takes longer than this to prove itself does not serve. */
const LIMIT_MS = 30_000;
/** Rows that are calculated together and one by one. */
const PROOF_ROWS = 64;
/** Sums in another order may differ in the last bits of a float32. */
const TOLERANCE = 1e-5;

/**
 * Proves in a worker of its own, before any traffic, that a model loads, has the promised inputs and outputs, runs, answers
 * probabilities, and answers a batch as it answers its rows one by one. Measures what runs cost.
 *
 * @throws `failed_precondition` saying which of that does not hold; `unavailable` when no worker could be had.
 */
export async function warmUp(model: ModelVersion, bytes: Uint8Array, maxBatch: number): Promise<RunCosts> {
  const thread = new InferenceThread(() => undefined);
  const limit = setTimeout(() => void thread.abandon(`no end after ${LIMIT_MS} ms of warm-up`), LIMIT_MS);
  try {
    await thread.ready;
    const columns = model.featureNames.length;
    checkSignature(await thread.load(model.artefact, bytes), columns);
    const rows = sampleRows(model, PROOF_ROWS);
    await proveBatching(thread, model.artefact, rows, columns);
    return await measure(thread, model, maxBatch);
  } catch (error) {
    if (error instanceof MillraceError && error.code === "internal") {
      throw new MillraceError("failed_precondition", error.message, { cause: error });
    }
    throw error;
  } finally {
    clearTimeout(limit);
    void thread.abandon("its warm-up is over");
  }
}

function checkSignature(signature: Signature, columns: number): void {
  const show = (kind: "inputs" | "outputs"): string =>
    signature[kind].map(({ name, type, shape }) => `${name} ${type} [${shape.join(", ")}]`).join(", ");
  const [input, ...others] = signature.inputs;
  const fits =
    input?.name === INPUT &&
    others.length === 0 &&
    input.type === "float32" &&
    input.shape.length === 2 &&
    input.shape[0] === -1 &&
    (input.shape[1] === columns || input.shape[1] === -1);
  if (!fits) throw misfit(`its inputs are ${show("inputs")}; expected ${INPUT} float32 [-1, ${columns}]`);
  const output = signature.outputs.find(({ name }) => name === OUTPUT);
  if (output?.type !== "float32" || output.shape.length > 2 || (output.shape[1] ?? 1) > 1) {
    throw misfit(`its outputs are ${show("outputs")}; expected ${OUTPUT} float32 [-1, 1]`);
  }
}

async function proveBatching(
  thread: InferenceThread,
  artefact: string,
  rows: Float32Array,
  columns: number,
): Promise<void> {
  const together = (await thread.run(artefact, rows, PROOF_ROWS, columns)).probabilities;
  for (let row = 0; row < PROOF_ROWS; row += 1) {
    const one = rows.slice(row * columns, (row + 1) * columns);
    const alone = (await thread.run(artefact, one, 1, columns)).probabilities[0] as number;
    const batched = together[row] as number;
    if (!(alone >= 0 && alone <= 1)) throw misfit(`it answers ${alone}, which is no probability`);
    if (!(Math.abs(alone - batched) <= TOLERANCE)) {
      throw misfit(`row ${row} of a batch of ${PROOF_ROWS} gets ${batched}, and ${alone} when it is asked alone`);
    }
  }
}

async function measure(thread: InferenceThread, model: ModelVersion, maxBatch: number): Promise<RunCosts> {
  const costs = new Map<number, number>();
  for (const size of new Set([1, Math.min(8, maxBatch), maxBatch])) {
    const times: number[] = [];
    for (let round = 0; round < 9; round += 1) {
      const { runMs } = await thread.run(model.artefact, sampleRows(model, size), size, model.featureNames.length);
      times.push(runMs);
    }
    costs.set(size, times.sort((a, b) => a - b)[4] as number);
  }
  return costs;
}

/** Rows like those of the training set, where its distributions are known; always the same ones. */
export function sampleRows(model: ModelVersion, rows: number): Float32Array {
  const references = new Map(model.reference?.features.map((feature) => [feature.name, feature]));
  const random = randomNumbers(1);
  const values = new Float32Array(rows * model.featureNames.length);
  let index = 0;
  for (let row = 0; row < rows; row += 1) {
    for (const name of model.featureNames) values[index++] = sample(references.get(name), random);
  }
  return values;
}

function sample(reference: FeatureReference | undefined, random: () => number): number {
  if (reference === undefined || reference.edges.length === 0) return random();
  if (random() < reference.missing) return Number.NaN;
  let share = random();
  let bin = 0;
  while (bin < reference.edges.length && share >= (reference.shares[bin] ?? 0)) share -= reference.shares[bin++] ?? 0;
  const low = reference.edges[Math.max(bin - 1, 0)] as number;
  const high = reference.edges[Math.min(bin, reference.edges.length - 1)] as number;
  return low + random() * (high - low);
}

function misfit(what: string): MillraceError {
  return new MillraceError("failed_precondition", `the model does not fit: ${what}`);
}
