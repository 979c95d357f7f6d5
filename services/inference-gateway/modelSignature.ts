import { liftHalfPrecision, type TensorSignature as OnnxTensor, readSignature } from "@millrace/onnx";
import { MillraceError } from "@millrace/runtime";
import { type Datatype, datatypeOfOnnx } from "./datatypes.ts";
import { showShape } from "./tensor.ts";

/** One input or output of a model. */
export interface TensorSignature {
  readonly name: string;
  readonly datatype: Datatype;
  /** -1 is variable. */
  readonly shape: readonly number[];
}

/** What a model takes and gives, in its order. */
export interface ModelSignature {
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
}

export interface ReadModel {
  readonly signature: ModelSignature;
  /** What ONNX Runtime is given: the same inputs and outputs in the same order, half precision as float32. */
  readonly bytes: Uint8Array;
}

/**
 * Reads what a model takes and gives, and prepares it for ONNX Runtime.
 *
 * @throws `invalid_argument` for bytes that are no ONNX model, or whose inputs and outputs are not tensors that can be served,
 *   naming them and saying what to do.
 */
export function readModel(bytes: Uint8Array): ReadModel {
  const { inputs, outputs } = readSignature(bytes);
  const signature = { inputs: inputs.map(tensorSignature), outputs: outputs.map(tensorSignature) };
  return { signature, bytes: liftHalfPrecision(bytes) };
}

function tensorSignature({ name, datatype: onnx, shape }: OnnxTensor): TensorSignature {
  const datatype = datatypeOfOnnx(onnx);
  if (datatype === undefined) {
    const message = `the model's value "${name}" is ${onnx}, which cannot be served; cast it to float inside the graph`;
    throw new MillraceError("invalid_argument", message);
  }
  return { name, datatype, shape };
}

/** Whether its inputs leave the first dimension open, so that rows of several requests can be put together. */
export const hasBatchDimension = ({ inputs }: ModelSignature): boolean =>
  inputs.length > 0 && inputs.every(({ shape }) => shape[0] === -1);

/** Whether the size of a row is fixed, so that its cost is known once measured. */
export const hasFixedRows = ({ inputs }: ModelSignature): boolean =>
  inputs.every(({ shape }) => shape.every((size, index) => size !== -1 || index === 0));

/** For people: `features FP32 [-1, 8]`. */
export const showTensor = ({ name, datatype, shape }: TensorSignature): string =>
  `${name} ${datatype.name} ${showShape(shape)}`;

/** What every model of the registry calls its input, float32 [rows, features]. */
export const INPUT = "features";
