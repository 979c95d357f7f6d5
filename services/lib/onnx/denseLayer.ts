import type { NodeProto, TensorProto } from "@millrace/proto/onnx/onnx_pb.ts";
import { floatsOf } from "./tensorData.ts";

/** What a MatMul or Gemm with constant weights calculates: `input` times `weights`, plus `bias`. */
export interface DenseLayer {
  readonly input: string;
  /** The constant's name. */
  readonly weightName: string;
  readonly rows: number;
  readonly columns: number;
  /** float32 [rows, columns], row-major: as they are multiplied, whatever the node's attributes say. */
  readonly weights: Float32Array;
  /** Name of a value that is added to the product. */
  readonly bias?: string;
}

const STANDARD_DOMAINS = new Set(["", "ai.onnx"]);

/** Whether a node is of the kinds that a dense layer is made of. */
export const isDense = ({ opType, domain }: NodeProto): boolean =>
  STANDARD_DOMAINS.has(domain) && (opType === "MatMul" || opType === "Gemm");

/** @returns the layer, or in words why the node is none that could be quantized. */
export function readDenseLayer(
  node: NodeProto,
  constantOf: (name: string) => TensorProto | undefined,
): DenseLayer | string {
  const [input, weightName, bias] = node.input;
  if (input === undefined || weightName === undefined) return "it has no weights";
  const tensor = constantOf(weightName);
  if (tensor === undefined) return `its weights "${weightName}" are not constant`;
  if (constantOf(input) !== undefined) return `its input "${input}" is constant`;
  if (tensor.dims.length !== 2) return `its weights have ${tensor.dims.length} dimensions; a matrix has 2`;
  const values = floatsOf(tensor);
  if (values === undefined) return `its weights "${weightName}" are not float32 within the model`;
  if (!values.every(Number.isFinite)) return `its weights "${weightName}" are not all finite`;
  const [first = 0, second = 0] = tensor.dims.map(Number);
  if (node.opType === "MatMul") return { input, weightName, rows: first, columns: second, weights: values };
  const { alpha = 1, beta = 1, transA = 0, transB = 0 } = numbersOf(node);
  if (transA !== 0) return "it transposes its input (transA)";
  const withBias = bias === undefined || bias === "" ? {} : { bias };
  if ("bias" in withBias && beta !== 1) return `it scales its bias (beta ${beta})`;
  const [rows, columns] = transB === 0 ? [first, second] : [second, first];
  const weights = transB === 0 ? values : transposed(values, first, second);
  return { input, weightName, rows, columns, weights: scaled(weights, alpha), ...withBias };
}

function numbersOf({ attribute }: NodeProto): Record<string, number | undefined> {
  return Object.fromEntries(attribute.map(({ name, f, i }) => [name, f ?? (i === undefined ? undefined : Number(i))]));
}

const scaled = (weights: Float32Array, alpha: number): Float32Array =>
  alpha === 1 ? weights : weights.map((weight) => weight * alpha);

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  for (const [index, value] of values.entries()) {
    result[(index % columns) * rows + Math.floor(index / columns)] = value;
  }
  return result;
}
