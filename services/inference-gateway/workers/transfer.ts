import type { TensorValue } from "../tensor.ts";

/**
 * The buffers of those arrays that fill theirs: they can be handed to another thread without a copy, and are gone here then.
 * (A view of a part would take the whole buffer along, and whatever else lives in it.)
 */
export function ownedBuffers(values: readonly (TensorValue | undefined)[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const value of values) {
    if (!ArrayBuffer.isView(value?.data)) continue;
    const { buffer, byteLength } = value.data;
    if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffers.add(buffer);
  }
  return [...buffers];
}
