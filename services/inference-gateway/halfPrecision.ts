/** Half-precision floats on the wire, float32 in memory. Every half is a float32, so the way there loses nothing. */

/** @param bytes IEEE 754 binary16, little-endian. */
export function floatsOfFp16(bytes: Uint8Array): Float32Array {
  const { buffer, byteOffset, length } = aligned(bytes);
  return Float32Array.from(new Float16Array(buffer, byteOffset, length / 2));
}

/** @param bytes The upper halves of float32s, little-endian. */
export function floatsOfBf16(bytes: Uint8Array): Float32Array {
  const { buffer, byteOffset, length } = aligned(bytes);
  const bits = Uint32Array.from(new Uint16Array(buffer, byteOffset, length / 2), (half) => half << 16);
  return new Float32Array(bits.buffer);
}

/** Rounds to the nearest half. */
export const fp16OfFloats = (floats: Float32Array): Uint8Array => new Uint8Array(Float16Array.from(floats).buffer);

/** Cuts off the lower halves: of floats that were bfloat16, nothing. */
export function bf16OfFloats(floats: Float32Array): Uint8Array {
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  return new Uint8Array(Uint16Array.from(bits, (bits) => bits >>> 16).buffer);
}

const aligned = (bytes: Uint8Array): Uint8Array => (bytes.byteOffset % 2 === 0 ? bytes : new Uint8Array(bytes));
