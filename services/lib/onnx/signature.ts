import { TensorProto_DataType as DataType, type ValueInfoProto } from "@millrace/proto/onnx/onnx_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { parseModel } from "./model.ts";

/** One input or output of a model. */
export interface TensorSignature {
  readonly name: string;
  /** ONNX's name in lower case: `float`, `int64`, `string` … */
  readonly datatype: string;
  /** -1 is variable. */
  readonly shape: readonly number[];
}

export interface ModelSignature {
  readonly inputs: readonly TensorSignature[];
  readonly outputs: readonly TensorSignature[];
}

const DATATYPE_NAMES = new Map<number, string>(
  Object.entries(DataType).map(([name, number]) => [number as number, name.toLowerCase()]),
);

/**
 * Reads what a model takes and gives, without running it.
 *
 * @throws `invalid_argument` for bytes that are no ONNX model, or whose inputs or outputs are not tensors.
 */
export function readSignature(bytes: Uint8Array): ModelSignature {
  const { graph } = parseModel(bytes);
  const constants = new Set(graph.initializer.map(({ name }) => name));
  return {
    inputs: graph.input.filter(({ name }) => !constants.has(name)).map(tensorSignature),
    outputs: graph.output.map(tensorSignature),
  };
}

function tensorSignature({ name, type }: ValueInfoProto): TensorSignature {
  const value = type?.value;
  if (value?.case !== "tensorType") {
    const kind = value?.case === "sequenceType" ? "a sequence" : value?.case === "mapType" ? "a map" : "no tensor";
    throw new MillraceError(
      "invalid_argument",
      `The model's value "${name}" is ${kind}, and only tensors can be served; from scikit-learn, export with zipmap=False`,
    );
  }
  const shape =
    value.value.shape?.dim.map(({ value: size }) => (size.case === "dimValue" ? Number(size.value) : -1)) ?? [];
  return { name, datatype: DATATYPE_NAMES.get(value.value.elemType) ?? `type ${value.value.elemType}`, shape };
}
