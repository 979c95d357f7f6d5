import type { ModelSignature, TensorSignature } from "./modelSignature.ts";
import { randomNumbers } from "./randomNumbers.ts";
import { elementCount, type NumericArray, type TensorValue } from "./tensor.ts";

/** Inputs for a run of so many rows, in the order of the signature: always the same ones, in memory of their own. */
export type Sampler = (rows: number) => TensorValue[];

/**
 * Random inputs of a model's shapes: floats from -1 to 1, whole numbers and booleans 0 or 1 (an index that every table has),
 * texts of digits (a number, for a model that parses them).
 *
 * @param open The size of every dimension that the model leaves open, besides the batch.
 */
export function randomSampler({ inputs }: ModelSignature, open: number): Sampler {
  return (rows) => {
    const random = randomNumbers(1);
    return inputs.map((input) => sample(input, rows, open, random));
  };
}

function sample({ datatype, shape }: TensorSignature, rows: number, open: number, random: () => number): TensorValue {
  const dims = shape.map((size, index) => (size !== -1 ? size : index === 0 ? rows : open));
  const count = elementCount(dims);
  if (datatype.array === undefined) return { data: Array.from({ length: count }, () => digit(random)), dims };
  const data = new datatype.array(count);
  fill(data, random);
  return { data, dims };
}

const digit = (random: () => number): string => String(Math.floor(random() * 10));

function fill(data: NumericArray, random: () => number): void {
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    for (let index = 0; index < data.length; index += 1) data[index] = random() < 0.5 ? 0n : 1n;
  } else if (data instanceof Float32Array || data instanceof Float64Array) {
    for (let index = 0; index < data.length; index += 1) data[index] = 2 * random() - 1;
  } else {
    for (let index = 0; index < data.length; index += 1) data[index] = random() < 0.5 ? 0 : 1;
  }
}
