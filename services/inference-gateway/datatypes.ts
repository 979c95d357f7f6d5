import { DataType } from "@millrace/proto/inference/model_config_pb.ts";
import type { NumericArray } from "./tensor.ts";

interface NumericArrayConstructor {
  new (length: number): NumericArray;
  new (buffer: ArrayBufferLike, byteOffset: number, length: number): NumericArray;
  readonly BYTES_PER_ELEMENT: number;
}

/** An element type of the Open Inference Protocol. */
export interface Datatype {
  /** The protocol's name. */
  readonly name: DatatypeName;
  /** ONNX's name in lower case. */
  readonly onnx: string;
  /** In Triton's model configuration. */
  readonly config: DataType;
  /** Of an element on the wire; 0 where each has its own length. */
  readonly wireBytes: number;
  /** What holds the elements in memory: half precision as float32, BOOL as bytes. Undefined for BYTES: strings. */
  readonly array: NumericArrayConstructor | undefined;
}

export type DatatypeName =
  | "BOOL"
  | "UINT8"
  | "UINT16"
  | "UINT32"
  | "UINT64"
  | "INT8"
  | "INT16"
  | "INT32"
  | "INT64"
  | "FP16"
  | "BF16"
  | "FP32"
  | "FP64"
  | "BYTES";

const define = (
  name: DatatypeName,
  onnx: string,
  config: DataType,
  wireBytes: number,
  array: NumericArrayConstructor | undefined,
): Datatype => ({ name, onnx, config, wireBytes, array });

export const DATATYPES: readonly Datatype[] = [
  define("BOOL", "bool", DataType.TYPE_BOOL, 1, Uint8Array),
  define("UINT8", "uint8", DataType.TYPE_UINT8, 1, Uint8Array),
  define("UINT16", "uint16", DataType.TYPE_UINT16, 2, Uint16Array),
  define("UINT32", "uint32", DataType.TYPE_UINT32, 4, Uint32Array),
  define("UINT64", "uint64", DataType.TYPE_UINT64, 8, BigUint64Array),
  define("INT8", "int8", DataType.TYPE_INT8, 1, Int8Array),
  define("INT16", "int16", DataType.TYPE_INT16, 2, Int16Array),
  define("INT32", "int32", DataType.TYPE_INT32, 4, Int32Array),
  define("INT64", "int64", DataType.TYPE_INT64, 8, BigInt64Array),
  define("FP16", "float16", DataType.TYPE_FP16, 2, Float32Array),
  define("BF16", "bfloat16", DataType.TYPE_BF16, 2, Float32Array),
  define("FP32", "float", DataType.TYPE_FP32, 4, Float32Array),
  define("FP64", "double", DataType.TYPE_FP64, 8, Float64Array),
  define("BYTES", "string", DataType.TYPE_STRING, 0, undefined),
];

const BY_ONNX = new Map(DATATYPES.map((datatype) => [datatype.onnx, datatype]));

/** Undefined for those that cannot be served (complex numbers, 4-bit and 8-bit floats). */
export const datatypeOfOnnx = (onnx: string): Datatype | undefined => BY_ONNX.get(onnx);
