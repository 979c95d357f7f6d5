import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  ModelProtoSchema,
  NodeProtoSchema,
  type TypeProto_Tensor,
  type ValueInfoProto,
} from "@millrace/proto/onnx/onnx_pb.ts";

/**
 * Gives a model whose inputs or outputs are half precision (float16, bfloat16) float32 ones instead, in the same places, with
 * a Cast to or from the original right behind. Half-precision values do not get through onnxruntime-node: Node.js 23 and later
 * give them an array type that it does not know. Casting there and back changes no value, for every half is a float32.
 *
 * @returns The same bytes when there is nothing to do.
 */
export function liftHalfPrecision(bytes: Uint8Array): Uint8Array {
  const model = fromBinary(ModelProtoSchema, bytes);
  const { graph } = model;
  if (graph === undefined) return bytes;
  const constants = new Set(graph.initializer.map(({ name }) => name));
  const inputs = graph.input.filter((value) => isHalf(value) && !constants.has(value.name));
  const outputs = graph.output.filter(isHalf);
  if (inputs.length + outputs.length === 0) return bytes;
  for (const value of inputs) {
    const { name, half } = lift(graph, value);
    graph.node.unshift(cast(name, value.name, half));
    value.name = name;
  }
  for (const value of outputs) {
    const { name } = lift(graph, value);
    graph.node.push(cast(value.name, name, DataType.FLOAT));
    value.name = name;
  }
  return toBinary(ModelProtoSchema, model);
}

function tensorOf({ type }: ValueInfoProto): TypeProto_Tensor | undefined {
  return type?.value.case === "tensorType" ? type.value.value : undefined;
}

function isHalf(value: ValueInfoProto): boolean {
  const type = tensorOf(value)?.elemType;
  return type === DataType.FLOAT16 || type === DataType.BFLOAT16;
}

/** Declares the value as float32; returns its new name, and what it was. */
function lift(graph: GraphProto, value: ValueInfoProto): { name: string; half: number } {
  const tensor = tensorOf(value) as TypeProto_Tensor;
  const half = tensor.elemType;
  tensor.elemType = DataType.FLOAT;
  const taken = new Set(graph.node.flatMap(({ input, output }) => [...input, ...output]));
  let name = `${value.name}_as_float`;
  while (taken.has(name)) name += "_";
  return { name, half };
}

function cast(from: string, to: string, type: number) {
  const attribute = [{ name: "to", type: AttributeType.INT, i: BigInt(type) }];
  return create(NodeProtoSchema, { opType: "Cast", name: `${to}_cast`, input: [from], output: [to], attribute });
}
