import type { Datatype } from "../datatypes.ts";
import { bf16OfFloats, fp16OfFloats } from "../halfPrecision.ts";
import type { TensorData } from "../tensor.ts";

const LENGTH_BYTES = 4;
const text = new TextEncoder();

/** A tensor's elements as raw bytes: a view where they are in memory as on the wire. */
export function encodeRaw(data: TensorData, { name }: Datatype): Uint8Array {
  if (!ArrayBuffer.isView(data)) return encodeStrings(data);
  if (name === "FP16") return fp16OfFloats(data as Float32Array);
  if (name === "BF16") return bf16OfFloats(data as Float32Array);
  const { buffer, byteOffset, byteLength } = data;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function encodeStrings(strings: readonly string[]): Uint8Array {
  const elements = strings.map((element) => text.encode(element));
  const bytes = new Uint8Array(elements.reduce((sum, { length }) => sum + LENGTH_BYTES + length, 0));
  const view = new DataView(bytes.buffer);
  let offset = 0;
  for (const element of elements) {
    view.setUint32(offset, element.length, true);
    bytes.set(element, offset + LENGTH_BYTES);
    offset += LENGTH_BYTES + element.length;
  }
  return bytes;
}
