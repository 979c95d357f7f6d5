export type NumericArray =
  | Uint8Array
  | Int8Array
  | Uint16Array
  | Int16Array
  | Uint32Array
  | Int32Array
  | BigUint64Array
  | BigInt64Array
  | Float32Array
  | Float64Array;

/** A tensor's elements, row-major. */
export type TensorData = NumericArray | readonly string[];

/** What a model is given for an input, or gives for an output. */
export interface TensorValue {
  readonly data: TensorData;
  readonly dims: readonly number[];
}

/** Elements of a tensor of this shape; 1 for a scalar. */
export function elementCount(dims: readonly number[]): number {
  let count = 1;
  for (const dim of dims) count *= dim;
  return count;
}

/** A shape for people: `[2, 3]`. */
export const showShape = (dims: readonly (number | bigint)[]): string => `[${dims.join(", ")}]`;
