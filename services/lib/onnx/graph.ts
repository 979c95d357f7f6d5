import { create, toBinary } from "@bufbuild/protobuf";
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from "@millrace/proto/onnx/onnx_pb.ts";

/** The newest versions that every ONNX Runtime since 1.14 reads. */
const IR_VERSION = 8n;
const OPSET = 17n;
const ML_OPSET = 3n;

/** The domain of tree ensembles and other classical operators. */
export const ML_DOMAIN = "ai.onnx.ml";

/** What a node's attribute may be: whole numbers are `{ints}` or bigint, the others are floats. */
export type Attribute =
  | bigint
  | number
  | string
  | { ints: readonly number[] }
  | { floats: ArrayLike<number> }
  | { strings: readonly string[] };

/** ONNX's names of element types: FLOAT is float32, DOUBLE float64. */
export type Datatype = keyof typeof DataType;

/** A size, or the name of a variable dimension. */
export type Dimension = number | string;

/** Builds an ONNX graph node by node; nodes are added in the order in which they run. */
export class GraphBuilder {
  readonly #graph: GraphProto;
  #names = 0;

  constructor(name: string) {
    this.#graph = create(GraphProtoSchema, { name });
  }

  /** Declares an input. */
  input(name: string, shape: readonly Dimension[], datatype: Datatype = "FLOAT"): string {
    this.#graph.input.push(tensorInfo(name, shape, datatype));
    return name;
  }

  /** Declares an output: the name of a value that a node makes. */
  output(name: string, shape: readonly Dimension[], datatype: Datatype = "FLOAT"): void {
    this.#graph.output.push(tensorInfo(name, shape, datatype));
  }

  /** A float32 constant. Returns its name. */
  constant(values: ArrayLike<number>, shape: readonly number[]): string {
    const name = this.#freshName("constant");
    const rawData = new Uint8Array(Float32Array.from(values).buffer);
    this.#graph.initializer.push(
      create(TensorProtoSchema, { name, dims: shape.map(BigInt), dataType: DataType.FLOAT, rawData }),
    );
    return name;
  }

  /** An int64 constant: indexes and axes. Returns its name. */
  indexes(values: readonly number[]): string {
    const name = this.#freshName("indexes");
    const rawData = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    const dims = [BigInt(values.length)];
    this.#graph.initializer.push(create(TensorProtoSchema, { name, dims, dataType: DataType.INT64, rawData }));
    return name;
  }

  /** Adds a node with one output. Returns the output's name: `output`, or a new one. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    { output = this.#freshName(operator.toLowerCase()), domain = "" }: { output?: string; domain?: string } = {},
  ): string {
    this.#graph.node.push(
      create(NodeProtoSchema, {
        opType: operator,
        name: this.#freshName(operator),
        input: [...inputs],
        output: [output],
        domain,
        attribute: Object.entries(attributes).map(([name, value]) => attributeOf(name, value)),
      }),
    );
    return output;
  }

  /** The finished model's bytes: equal graphs give equal bytes. */
  toBytes(metadata: Readonly<Record<string, string>> = {}): Uint8Array {
    const model = create(ModelProtoSchema, {
      irVersion: IR_VERSION,
      producerName: "millrace",
      opsetImport: [
        { domain: "", version: OPSET },
        { domain: ML_DOMAIN, version: ML_OPSET },
      ],
      graph: this.#graph,
      metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    });
    return toBinary(ModelProtoSchema, model);
  }

  #freshName(kind: string): string {
    this.#names += 1;
    return `${kind}_${this.#names}`;
  }
}

/** A node's attribute as a message. */
export function attributeOf(name: string, value: Attribute): AttributeProto {
  const text = new TextEncoder();
  if (typeof value === "bigint") return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: value });
  if (typeof value === "number") return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value });
  if (typeof value === "string") {
    return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: text.encode(value) });
  }
  if ("ints" in value)
    return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.ints.map(BigInt) });
  if ("floats" in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.FLOATS, floats: Array.from(value.floats) });
  }
  const strings = value.strings.map((item) => text.encode(item));
  return create(AttributeProtoSchema, { name, type: AttributeType.STRINGS, strings });
}

function tensorInfo(name: string, shape: readonly Dimension[], datatype: Datatype) {
  const dim = shape.map((size) => ({
    value:
      typeof size === "number"
        ? { case: "dimValue" as const, value: BigInt(size) }
        : { case: "dimParam" as const, value: size },
  }));
  const tensor = { case: "tensorType" as const, value: { elemType: DataType[datatype], shape: { dim } } };
  return create(ValueInfoProtoSchema, { name, type: { value: tensor } });
}
