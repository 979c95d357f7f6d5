import { fromBinary } from "@bufbuild/protobuf";
import {
  TensorProto_DataType as DataType,
  ModelProtoSchema,
  type ValueInfoProto,
} from "@millrace/proto/onnx/onnx_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";

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
  let graph;
  try {
    graph = fromBinary(ModelProtoSchema, bytes).graph;
  } catch (cause) {
    throw notAModel(bytes, describeError(cause), cause);
  }
  if (graph === undefined || graph.output.length === 0) throw notAModel(bytes, "it has no graph with an output");
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

function notAModel(bytes: Uint8Array, why: string, cause?: unknown): MillraceError {
  const message = `${bytes.length} bytes are not an ONNX model (${why}); export it again, or check that the file arrived whole`;
  return new MillraceError("invalid_argument", message, { cause });
}
