import { create } from "@bufbuild/protobuf";
import {
  TensorProto_DataLocation as DataLocation,
  TensorProto_DataType as DataType,
  type TensorProto,
  TensorProtoSchema,
} from "@millrace/proto/onnx/onnx_pb.ts";

/** A float32 tensor's values, row-major, from either of the fields that may hold them; undefined when they are not in the model, or are others. */
export function floatsOf({ dataType, dataLocation, dims, rawData, floatData }: TensorProto): Float32Array | undefined {
  if (dataType !== DataType.FLOAT || dataLocation === DataLocation.EXTERNAL) return undefined;
  const values = rawData.length > 0 ? floatsOfBytes(rawData) : Float32Array.from(floatData);
  const expected = dims.reduce((product, size) => product * Number(size), 1);
  return values.length === expected ? values : undefined;
}

/** A copy, for bytes within a message begin anywhere. */
function floatsOfBytes(bytes: Uint8Array): Float32Array {
  const length = Math.floor(bytes.length / Float32Array.BYTES_PER_ELEMENT);
  return new Float32Array(new Uint8Array(bytes).buffer, 0, length);
}

const DATATYPES = new Map<unknown, DataType>([
  [Float32Array, DataType.FLOAT],
  [Int8Array, DataType.INT8],
  [Uint8Array, DataType.UINT8],
  [BigInt64Array, DataType.INT64],
]);

/** A constant: float32, int8, uint8 or int64 by the kind of array. No shape: a scalar. */
export function tensorOf(
  name: string,
  values: Float32Array | Int8Array | Uint8Array | BigInt64Array,
  shape: readonly number[] = [],
): TensorProto {
  const dataType = DATATYPES.get(values.constructor) ?? DataType.UNDEFINED;
  const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return create(TensorProtoSchema, { name, dims: shape.map(BigInt), dataType, rawData });
}
