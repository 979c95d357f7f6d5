import type { FeatureReference, ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { INPUT, type ModelSignature, OUTPUT, type ReadModel, showTensor } from "./modelSignature.ts";
import { randomNumbers } from "./randomNumbers.ts";
import { type WarmedUp, warmUp } from "./warmUp.ts";

const PROOF_ROWS = 64;

/**
 * Warms up a version of the registry, which has promised more than other models: the input and output that all of them have,
 * probabilities, and batches that equal their rows.
 *
 * @throws `failed_precondition` saying which of that does not hold; `unavailable` when no worker could be had.
 */
export async function warmUpVersion(
  model: ModelVersion,
  onnx: ReadModel,
  maxRows: number,
  maxThreads = 1,
): Promise<WarmedUp> {
  const columns = model.featureNames.length;
  const { signature, bytes } = onnx;
  checkSignature(signature, columns);
  const sampler = (rows: number) => [{ data: sampleRows(model, rows), dims: [rows, columns] }];
  const { artefact } = model;
  const warm = await warmUp({ artefact, bytes, signature, maxRows, proofRows: PROOF_ROWS, sampler, maxThreads });
  const output = signature.outputs.findIndex(({ name }) => name === OUTPUT);
  for (const outputs of warm.alone) {
    const probability = outputs[output]?.data[0] as number;
    if (!(probability >= 0 && probability <= 1)) throw misfit(`it answers ${probability}, which is no probability`);
  }
  if (warm.unbatchedBecause !== "") throw misfit(warm.unbatchedBecause);
  return warm;
}

function checkSignature({ inputs, outputs }: ModelSignature, columns: number): void {
  const [input, ...others] = inputs;
  const fits =
    input?.name === INPUT &&
    others.length === 0 &&
    input.datatype.name === "FP32" &&
    input.shape.length === 2 &&
    input.shape[0] === -1 &&
    (input.shape[1] === columns || input.shape[1] === -1);
  if (!fits) {
    throw misfit(`its inputs are ${inputs.map(showTensor).join(", ")}; expected ${INPUT} FP32 [-1, ${columns}]`);
  }
  const output = outputs.find(({ name }) => name === OUTPUT);
  if (output?.datatype.name !== "FP32" || output.shape.length > 2 || (output.shape[1] ?? 1) > 1) {
    throw misfit(`its outputs are ${outputs.map(showTensor).join(", ")}; expected ${OUTPUT} FP32 [-1, 1]`);
  }
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
