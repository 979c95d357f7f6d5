import type { InferTensorContents } from "@millrace/proto/inference/grpc_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import type { Datatype } from "../datatypes.ts";
import { floatsOfBf16, floatsOfFp16 } from "../halfPrecision.ts";
import type { NumericArray, TensorData } from "../tensor.ts";

type ContentsField = Exclude<keyof InferTensorContents, "$typeName" | "$unknown">;

const FIELDS: Readonly<Record<ContentsField, string>> = {
  boolContents: "bool_contents",
  intContents: "int_contents",
  int64Contents: "int64_contents",
  uintContents: "uint_contents",
  uint64Contents: "uint64_contents",
  fp32Contents: "fp32_contents",
  fp64Contents: "fp64_contents",
  bytesContents: "bytes_contents",
};

/** The one field that fits a datatype; half precision has none. */
const FIELD_OF: Readonly<Record<string, ContentsField>> = {
  BOOL: "boolContents",
  INT8: "intContents",
  INT16: "intContents",
  INT32: "intContents",
  INT64: "int64Contents",
  UINT8: "uintContents",
  UINT16: "uintContents",
  UINT32: "uintContents",
  UINT64: "uint64Contents",
  FP32: "fp32Contents",
  FP64: "fp64Contents",
  BYTES: "bytesContents",
};

const LENGTH_BYTES = 4;
const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * An input's raw bytes as elements: a view where they are aligned, else a copy.
 *
 * @throws `invalid_argument` for another number of bytes than `count` elements have.
 */
export function decodeRaw(bytes: Uint8Array, datatype: Datatype, count: number, where: string): TensorData {
  const { name, wireBytes, array } = datatype;
  if (array === undefined) return decodeStrings(bytes, count, where);
  if (bytes.byteLength !== count * wireBytes) {
    const expected = `${count * wireBytes} bytes (${count} elements of ${name})`;
    throw invalid(`${where}: expected ${expected}, got ${bytes.byteLength}`);
  }
  if (name === "BOOL") return decodeBooleans(bytes);
  if (name === "FP16") return floatsOfFp16(bytes);
  if (name === "BF16") return floatsOfBf16(bytes);
  const aligned = bytes.byteOffset % array.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new array(aligned.buffer, aligned.byteOffset, count);
}

/** Whatever is not 0 is true; ONNX Runtime knows only 0 and 1. */
const decodeBooleans = (bytes: Uint8Array): Uint8Array =>
  bytes.some((byte) => byte > 1) ? bytes.map((byte) => (byte === 0 ? 0 : 1)) : bytes;

function decodeStrings(bytes: Uint8Array, count: number, where: string): string[] {
  if (count * LENGTH_BYTES > bytes.byteLength) {
    throw invalid(`${where}: expected ${count} elements of BYTES, which ${bytes.byteLength} bytes cannot hold`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const strings: string[] = [];
  let offset = 0;
  while (strings.length < count && offset + LENGTH_BYTES <= bytes.byteLength) {
    const length = view.getUint32(offset, true);
    offset += LENGTH_BYTES;
    if (length > bytes.byteLength - offset) {
      const left = `only ${bytes.byteLength - offset} are left`;
      throw invalid(`${where}: element ${strings.length} says that it has ${length} bytes, and ${left}`);
    }
    strings.push(decodeString(bytes.subarray(offset, offset + length), strings.length, where));
    offset += length;
  }
  if (strings.length < count || offset < bytes.byteLength) {
    const got = strings.length < count ? `only ${strings.length}` : `${bytes.byteLength - offset} bytes more`;
    throw invalid(`${where}: expected ${count} elements of BYTES, got ${got}`);
  }
  return strings;
}

/** ONNX Runtime's strings are texts here, and end at the first zero byte: what would be mangled is refused. */
function decodeString(bytes: Uint8Array, element: number, where: string): string {
  if (bytes.includes(0))
    throw invalid(`${where}: element ${element} has a zero byte, which ends a text in ONNX Runtime`);
  try {
    return text.decode(bytes);
  } catch {
    throw invalid(`${where}: element ${element} is no UTF-8 text; encode binary data, as base64 for instance`);
  }
}

/** An input's typed contents as elements. @throws `invalid_argument` when they are in another field, too few or too many. */
export function decodeTyped(
  contents: InferTensorContents | undefined,
  datatype: Datatype,
  count: number,
  where: string,
): TensorData {
  const field = FIELD_OF[datatype.name];
  if (field === undefined) throw invalid(`${where}: ${datatype.name} travels in raw_input_contents only`);
  for (const other of Object.keys(FIELDS) as ContentsField[]) {
    if (other !== field && contents !== undefined && contents[other].length > 0) {
      throw invalid(`${where}: expected ${datatype.name} in ${FIELDS[field]}, got ${FIELDS[other]}`);
    }
  }
  const elements = contents?.[field] ?? [];
  if (elements.length !== count) {
    throw invalid(`${where}: expected ${count} elements in ${FIELDS[field]}, got ${elements.length}`);
  }
  if (datatype.array === undefined) {
    return (elements as Uint8Array[]).map((bytes, element) => decodeString(bytes, element, where));
  }
  const data: NumericArray = new datatype.array(count);
  data.set(elements as never);
  if (datatype.wireBytes < 4) checkRange(elements as number[], data, datatype, where);
  return data;
}

function checkRange(elements: readonly number[], data: NumericArray, { name }: Datatype, where: string): void {
  if (name === "BOOL") return;
  for (const [element, value] of elements.entries()) {
    if (data[element] !== value) throw invalid(`${where}: element ${element} is ${value}, which is no ${name}`);
  }
}

export const invalid = (message: string): MillraceError => new MillraceError("invalid_argument", message);
