import { create } from "@bufbuild/protobuf";
import { type ModelMetadataResponse, ModelMetadataResponseSchema } from "@millrace/proto/inference/grpc_service_pb.ts";
import {
  type ModelConfig,
  ModelConfigSchema,
  ModelInstanceGroup_Kind,
} from "@millrace/proto/inference/model_config_pb.ts";
import { DEFAULT_PRIORITY, PRIORITY_LEVELS } from "../batcher.ts";
import type { LoadedModel } from "../loadedModel.ts";
import type { TensorSignature } from "../modelSignature.ts";

const PLATFORM = "onnxruntime_onnx";

/** What a model takes and gives, with the batch as the first dimension. */
export function modelMetadata(model: LoadedModel, versions: readonly string[]): ModelMetadataResponse {
  const tensor = ({ name, datatype, shape }: TensorSignature) => ({
    name,
    datatype: datatype.name,
    shape: shape.map(BigInt),
  });
  const { inputs, outputs } = model.signature;
  return create(ModelMetadataResponseSchema, {
    name: model.name,
    versions: [...versions],
    platform: PLATFORM,
    inputs: inputs.map(tensor),
    outputs: outputs.map(tensor),
  });
}

/** The same as Triton's model configuration, with how the model runs, and why, among its parameters. */
export function modelConfig(model: LoadedModel): ModelConfig {
  const { lane, plan, signature, name } = model;
  const { maxRows, batching } = lane;
  const tensor = ({ name, datatype, shape }: TensorSignature) => ({
    name,
    dataType: datatype.config,
    dims: (maxRows === undefined ? shape : shape.slice(1)).map(BigInt),
  });
  const parameters: Record<string, { stringValue: string }> = {
    runs: { stringValue: plan.runs },
    batching: { stringValue: plan.batching },
  };
  for (const [rows, ms] of plan.costs) parameters[`run_ms.${rows}`] = { stringValue: ms.toFixed(4) };
  const dynamicBatching = {
    maxQueueDelayMicroseconds: BigInt(Math.round(batching.maxDelayMs * 1_000)),
    preserveOrdering: false,
    priorityLevels: BigInt(PRIORITY_LEVELS),
    defaultPriorityLevel: BigInt(DEFAULT_PRIORITY),
  };
  return create(ModelConfigSchema, {
    name,
    platform: PLATFORM,
    backend: "onnxruntime",
    maxBatchSize: maxRows ?? 0,
    input: signature.inputs.map(tensor),
    output: signature.outputs.map(tensor),
    instanceGroup: [{ name, count: 1, kind: ModelInstanceGroup_Kind.CPU }],
    ...(maxRows === undefined ? {} : { dynamicBatching }),
    parameters,
  });
}
