import { create } from "@bufbuild/protobuf";
import { attributeOf, type ModelSignature, type ModelWithGraph, renameValue } from "@millrace/onnx";
import {
  TensorProto_DataType as DataType,
  type GraphProto,
  NodeProtoSchema,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "@millrace/proto/onnx/onnx_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { INPUT, OUTPUT } from "../export/onnx.ts";

/** An output as it came out of a run of `PROBE_ROWS` rows. */
export interface ProbedOutput {
  readonly name: string;
  /** ONNX Runtime's word: `float32`, `int64` … */
  readonly type: string;
  readonly dims: readonly number[];
}

/** Not 1 or 2, so that a row's dimension is not taken for a class's. */
export const PROBE_ROWS = 3;

/** @throws `invalid_argument` unless the model takes one float32 input, any number of rows by `columns` */
export function checkInput({ inputs }: ModelSignature, columns: number): string {
  const [input] = inputs;
  if (input === undefined || inputs.length > 1) {
    const names = inputs.map(({ name }) => `"${name}"`).join(", ");
    throw misfit(
      `it has ${inputs.length} inputs (${names}); export it with one, float32 [rows, ${columns}], a feature in each column`,
    );
  }
  const { name, datatype, shape } = input;
  if (datatype !== "float") {
    throw misfit(
      `its input "${name}" is ${datatype}; features are float32: export it with a float input, or cast inside the graph`,
    );
  }
  const [rows, width] = shape;
  if (shape.length !== 2 || (width !== -1 && width !== columns)) {
    throw misfit(`its input "${name}" has the shape [${shape.join(", ")}]; expected [rows, ${columns}]`);
  }
  if (rows !== -1) {
    throw misfit(
      `its input "${name}" takes ${rows} rows, always; export it with a variable first dimension (dynamic_axes), so that requests can be batched`,
    );
  }
  return name;
}

/**
 * Brings a model into the form that every version has: `features` float32 [rows, n] to `probability` float32 [rows, 1]. Its graph is
 * changed in place.
 *
 * @returns what was changed, a sentence each
 * @throws `invalid_argument` when no output, or more than one, could be the probability
 */
export function fitModel({ graph }: ModelWithGraph, input: string, outputs: readonly ProbedOutput[]): string[] {
  const { name, dims } = chooseOutput(outputs);
  const changes: string[] = [];
  if (input !== INPUT) {
    renameValue(graph, input, INPUT);
    changes.push(`The input "${input}" is called "${INPUT}".`);
  }
  const others = outputs.filter((output) => output.name !== name);
  if (others.length > 0) changes.push(`Not served: ${others.map((output) => `"${output.name}"`).join(", ")}.`);
  if (dims.length === 2 && dims[1] === 1) {
    if (name === OUTPUT && others.length === 0) return changes;
    if (name !== OUTPUT) changes.push(`The output "${name}" is called "${OUTPUT}".`);
    renameValue(graph, name, OUTPUT);
  } else {
    const made = name === OUTPUT ? `${name}_of_model` : name;
    renameValue(graph, name, made);
    // Nothing else may have the name.
    renameValue(graph, OUTPUT, `${OUTPUT}_within`);
    addLastNode(graph, made, dims.length === 1);
    changes.push(
      dims.length === 1
        ? `The output "${name}" [rows] becomes "${OUTPUT}" [rows, 1].`
        : `Of the output "${name}" [rows, 2] the second column, the positive class, becomes "${OUTPUT}".`,
    );
  }
  graph.output = [probabilityInfo()];
  return changes;
}

function chooseOutput(outputs: readonly ProbedOutput[]): ProbedOutput {
  const fitting = outputs.filter(
    ({ type, dims }) =>
      type === "float32" &&
      dims[0] === PROBE_ROWS &&
      (dims.length === 1 || (dims.length === 2 && (dims[1] as number) <= 2)),
  );
  const named = fitting.find(({ name }) => name === OUTPUT);
  const [only, ...more] = named === undefined ? fitting : [named];
  if (only !== undefined && more.length === 0) return only;
  const list = outputs
    .map(({ name, type, dims }) => `"${name}" ${type} [${["rows", ...dims.slice(1)].join(", ")}]`)
    .join(", ");
  const found = fitting.length === 0 ? "none of them is" : "more than one of them could be";
  throw misfit(
    `its outputs are ${list}; ${found} the probability, float32 [rows, 1] or [rows, 2]: export predict_proba, or name the one output "${OUTPUT}"`,
  );
}

/** From [rows] by a Reshape, from [rows, 2] by taking column 1. */
function addLastNode(graph: GraphProto, from: string, isVector: boolean): void {
  const parameter = `${OUTPUT}_${isVector ? "shape" : "column"}`;
  renameValue(graph, parameter, `${parameter}_within`);
  const values = isVector ? BigInt64Array.of(-1n, 1n) : BigInt64Array.of(1n);
  const rawData = new Uint8Array(values.buffer);
  const dims = [BigInt(values.length)];
  graph.initializer.push(create(TensorProtoSchema, { name: parameter, dims, dataType: DataType.INT64, rawData }));
  const attribute = isVector ? [] : [attributeOf("axis", 1n)];
  const opType = isVector ? "Reshape" : "Gather";
  graph.node.push(
    create(NodeProtoSchema, { opType, name: OUTPUT, input: [from, parameter], output: [OUTPUT], attribute }),
  );
}

function probabilityInfo(): ValueInfoProto {
  const dim = [
    { value: { case: "dimParam" as const, value: "rows" } },
    { value: { case: "dimValue" as const, value: 1n } },
  ];
  const tensor = { case: "tensorType" as const, value: { elemType: DataType.FLOAT, shape: { dim } } };
  return create(ValueInfoProtoSchema, { name: OUTPUT, type: { value: tensor } });
}

export const misfit = (what: string): MillraceError =>
  new MillraceError("invalid_argument", `The model does not fit an app: ${what}`);
