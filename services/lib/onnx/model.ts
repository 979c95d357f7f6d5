import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type GraphProto, type ModelProto, ModelProtoSchema } from "@millrace/proto/onnx/onnx_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";

/** A model that has a graph. */
export type ModelWithGraph = ModelProto & { readonly graph: GraphProto };

/** @throws `invalid_argument` for bytes that are no ONNX model with a graph that has an output */
export function parseModel(bytes: Uint8Array): ModelWithGraph {
  let model;
  try {
    model = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw notAModel(bytes, describeError(cause), cause);
  }
  const { graph } = model;
  if (graph === undefined || graph.output.length === 0) throw notAModel(bytes, "it has no graph with an output");
  return Object.assign(model, { graph });
}

/** Equal models give equal bytes. */
export const modelBytes = (model: ModelProto): Uint8Array => toBinary(ModelProtoSchema, model);

function notAModel(bytes: Uint8Array, why: string, cause?: unknown): MillraceError {
  const message = `${bytes.length} bytes are not an ONNX model (${why}); export it again, or check that the file arrived whole`;
  return new MillraceError("invalid_argument", message, { cause });
}
