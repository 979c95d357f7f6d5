import type { FeatureReference, ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { answerReader, expectedOutputs } from "./answerReader.ts";
import { INPUT, type ModelSignature, type ReadModel, showTensor } from "./modelSignature.ts";
import { randomNumbers } from "./randomNumbers.ts";
import { type WarmedUp, warmUp } from "./warmUp.ts";

const PROOF_ROWS = 64;

/**
 * Warms up a version of the registry, which has promised more than other models: the input and outputs that all of its
 * task have, answers, and batches that equal their rows.
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
  checkInputs(signature, columns);
  checkOutputs(signature, model);
  const sampler = (rows: number) => [{ data: sampleRows(model, rows), dims: [rows, columns] }];
  const { artefact } = model;
  const warm = await warmUp({ artefact, bytes, signature, maxRows, proofRows: PROOF_ROWS, sampler, maxThreads });
  const reader = answerReader(model, signature);
  for (const outputs of warm.alone) {
    if (reader.read(outputs, 0) === undefined) throw misfit(`it answers ${reader.describe(outputs, 0)}`);
  }
  if (warm.unbatchedBecause !== "") throw misfit(warm.unbatchedBecause);
  return warm;
}

function checkInputs({ inputs }: ModelSignature, columns: number): void {
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
}

function checkOutputs({ outputs }: ModelSignature, model: ModelVersion): void {
  const expected = expectedOutputs(model);
  const fits = expected.every(({ name, datatype, columns }) => {
    const output = outputs.find((other) => other.name === name);
    const { shape = [] } = output ?? {};
    // Where a row is one number, [rows] will do.
    const width = shape.length === 1 || (columns === 1 && shape[1] === -1) ? 1 : shape[1];
    return output?.datatype.name === datatype && shape.length <= 2 && (width ?? 1) === columns;
  });
  if (fits) return;
  const wanted = expected.map(({ name, datatype, columns }) => `${name} ${datatype} [-1, ${columns}]`).join(", ");
  throw misfit(`its outputs are ${outputs.map(showTensor).join(", ")}; expected ${wanted}`);
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
