import type { TensorSignature } from "./modelSignature.ts";
import { type NumericArray, showShape, type TensorValue } from "./tensor.ts";
import type { Outputs } from "./workers/messages.ts";

/** What a model version is asked: one or more rows, or one whole run where the model has no batch dimension. */
export interface TensorRequest {
  /** In the order of the model's signature; numbers of another type than the model's are converted. */
  readonly inputs: readonly TensorValue[];
  readonly rows: number;
  /** The shape of a row where the model leaves it open: only equal ones fit together. */
  readonly key: string;
  /** Positions of the outputs that it asks for. */
  readonly wanted: readonly number[];
}

/** What requests give to their runs: their inputs put together, row after row. Copied when `owned`, else only if need be. */
export function collate(
  signature: readonly TensorSignature[],
  requests: readonly TensorRequest[],
  rows: number,
  owned: boolean,
): TensorValue[] {
  const [first] = requests as [TensorRequest];
  return signature.map(({ datatype: { array } }, input) => {
    const only = first.inputs[input] as TensorValue;
    const dims = requests.length === 1 ? only.dims : [rows, ...only.dims.slice(1)];
    if (requests.length === 1 && (array === undefined || (!owned && only.data instanceof array))) {
      return { data: only.data, dims };
    }
    if (array === undefined) return { data: requests.flatMap(({ inputs }) => inputs[input]?.data as string[]), dims };
    return { data: concatenate(requests, input, array), dims };
  });
}

function concatenate(
  requests: readonly TensorRequest[],
  input: number,
  array: new (length: number) => NumericArray,
): NumericArray {
  let length = 0;
  for (const { inputs } of requests) length += (inputs[input] as TensorValue).data.length;
  const whole = new array(length);
  let offset = 0;
  for (const { inputs } of requests) {
    const { data } = inputs[input] as TensorValue;
    whole.set(data as never, offset);
    offset += data.length;
  }
  return whole;
}

/** Which outputs a batch has to calculate. */
export function union(requests: readonly TensorRequest[]): readonly number[] {
  const [first] = requests as [TensorRequest];
  if (requests.every(({ wanted }) => wanted === first.wanted)) return first.wanted;
  return [...new Set(requests.flatMap(({ wanted }) => wanted))];
}

/** Why a batch's outputs cannot be divided among its rows; undefined when they can. */
export function indivisible(outputs: Outputs, signature: readonly TensorSignature[], rows: number): string | undefined {
  for (const [index, output] of outputs.entries()) {
    if (output === undefined || output.dims[0] === rows) continue;
    return `output ${signature[index]?.name} has the shape ${showShape(output.dims)} for a batch of ${rows} rows`;
  }
  return undefined;
}

/** The part of a batch's output that belongs to some of its rows: a view. */
export function rowsOf({ data, dims }: TensorValue, first: number, rows: number): TensorValue {
  const all = dims[0] as number;
  if (rows === all) return { data, dims };
  const size = data.length / all;
  const [from, to] = [first * size, (first + rows) * size];
  const part = ArrayBuffer.isView(data) ? data.subarray(from, to) : data.slice(from, to);
  return { data: part, dims: [rows, ...dims.slice(1)] };
}
