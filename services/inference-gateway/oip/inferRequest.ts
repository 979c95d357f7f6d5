import type {
  ModelInferRequest_InferInputTensor as InferInputTensor,
  ModelInferRequest,
} from "@millrace/proto/inference/grpc_service_pb.ts";
import type { LoadedModel } from "../loadedModel.ts";
import { hasFixedRows, type ModelSignature, showTensor, type TensorSignature } from "../modelSignature.ts";
import { elementCount, showShape, type TensorValue } from "../tensor.ts";
import type { TensorRequest } from "../tensorRequest.ts";
import { decodeRaw, decodeTyped, invalid } from "./decodeTensor.ts";

/** ONNX Runtime counts with 64 bits, and some of its kernels with 32. */
const MAX_DIMENSION = 2n ** 31n - 1n;

/**
 * Checks a request against its model's signature, and takes its tensors out.
 *
 * @throws `invalid_argument` naming the input, what was expected and what came.
 */
export function readInferRequest(request: ModelInferRequest, { signature, lane }: LoadedModel): TensorRequest {
  const { maxRows } = lane;
  const raw = request.rawInputContents;
  if (raw.length > 0 && raw.length !== request.inputs.length) {
    throw invalid(`expected as many raw_input_contents as inputs, ${request.inputs.length}, got ${raw.length}`);
  }
  const inputs = signature.inputs.map((expected) => {
    const index = onlyInput(request.inputs, expected);
    const input = request.inputs[index] as InferInputTensor;
    const where = `input "${expected.name}"`;
    const dims = checkTensor(input, expected, maxRows !== undefined, where);
    const bytes = raw[index];
    if (bytes === undefined)
      return { data: decodeTyped(input.contents, expected.datatype, elementCount(dims), where), dims };
    if (input.contents !== undefined) {
      throw invalid(`${where}: expected its data in raw_input_contents or in contents, got both`);
    }
    return { data: decodeRaw(bytes, expected.datatype, elementCount(dims), where), dims };
  });
  checkNoOther(request.inputs, signature);
  return {
    inputs,
    rows: maxRows === undefined ? 1 : rowsOf(inputs, signature, maxRows),
    key: hasFixedRows(signature) ? "" : inputs.map(({ dims }) => dims.slice(1).join()).join(" "),
    wanted: readWanted(request, signature, lane.allOutputs),
  };
}

function onlyInput(inputs: readonly InferInputTensor[], expected: TensorSignature): number {
  const index = inputs.findIndex(({ name }) => name === expected.name);
  if (index === -1) {
    const got = inputs.map(({ name }) => `"${shorten(name)}"`).join(", ") || "none";
    throw invalid(`input "${expected.name}" is missing: expected ${showTensor(expected)}, got ${shorten(got)}`);
  }
  if (inputs.some(({ name }, other) => other > index && name === expected.name)) {
    throw invalid(`input "${expected.name}": expected it once, got it several times`);
  }
  return index;
}

function checkNoOther(inputs: readonly InferInputTensor[], signature: ModelSignature): void {
  if (inputs.length === signature.inputs.length) return;
  const known = new Set(signature.inputs.map(({ name }) => name));
  const other = inputs.find(({ name }) => !known.has(name))?.name ?? "";
  throw invalid(`input "${shorten(other)}" is unknown: expected ${signature.inputs.map(showTensor).join(", ")}`);
}

/** Returns the shape. */
function checkTensor(
  { datatype, shape, parameters }: InferInputTensor,
  expected: TensorSignature,
  batched: boolean,
  where: string,
): number[] {
  if ("shared_memory_region" in parameters) {
    throw invalid(`${where}: expected its data in the request, got shared_memory_region, which is not supported`);
  }
  if (datatype !== expected.datatype.name) {
    throw invalid(`${where}: expected datatype ${expected.datatype.name}, got "${shorten(datatype)}"`);
  }
  const fits =
    shape.length === expected.shape.length &&
    shape.every((size, index) => {
      const fixed = expected.shape[index] as number;
      return fixed === -1 ? size >= 0n && size <= MAX_DIMENSION : size === BigInt(fixed);
    });
  const dims = shape.map(Number);
  if (!fits || !Number.isSafeInteger(elementCount(dims) * 8)) {
    const got = shorten(showShape(shape));
    throw invalid(`${where}: expected shape ${showShape(expected.shape)} (-1 is variable), got ${got}`);
  }
  if (batched && dims[0] === 0) throw invalid(`${where}: expected at least one row, got shape ${showShape(shape)}`);
  return dims;
}

function rowsOf(inputs: readonly TensorValue[], { inputs: signature }: ModelSignature, maxRows: number): number {
  const rows = inputs[0]?.dims[0] as number;
  for (const [index, { dims }] of inputs.entries()) {
    if (dims[0] === rows) continue;
    const names = `input "${signature[index]?.name}": expected ${rows} rows as in "${signature[0]?.name}"`;
    throw invalid(`${names}, got ${dims[0]}`);
  }
  if (rows <= maxRows) return rows;
  const advice = "send them in several requests; ModelConfig tells the limit as max_batch_size";
  throw invalid(`expected at most ${maxRows} rows in a request, got ${rows}; ${advice}`);
}

function readWanted(
  { outputs }: ModelInferRequest,
  signature: ModelSignature,
  all: readonly number[],
): readonly number[] {
  if (outputs.length === 0) return all;
  const wanted = outputs.map(({ name, parameters }) => {
    const index = signature.outputs.findIndex((output) => output.name === name);
    if (index === -1) {
      const expected = signature.outputs.map(showTensor).join(", ");
      throw invalid(`output "${shorten(name)}" is unknown: expected one of ${expected}`);
    }
    for (const unsupported of ["classification", "shared_memory_region"]) {
      if (unsupported in parameters) throw invalid(`output "${name}": the parameter ${unsupported} is not supported`);
    }
    return index;
  });
  return [...new Set(wanted)];
}

const shorten = (text: string): string => (text.length > 100 ? `${text.slice(0, 100)}…` : text);
