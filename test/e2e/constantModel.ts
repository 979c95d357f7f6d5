import { createHash } from "node:crypto";
import { create, toBinary } from "@bufbuild/protobuf";
import type { Bus } from "@millrace/bus";
import { GraphBuilder } from "@millrace/onnx";
import {
  DeploymentSchema,
  type ModelVersion,
  ModelVersionSchema,
} from "@millrace/proto/millrace/training/v1/model_pb.ts";

/** Stores a model that answers `probability` to everything, and describes it as the registry would. */
export async function storeConstantModel(
  bus: Bus,
  { app, number, featureNames }: Pick<ModelVersion, "app" | "number" | "featureNames">,
  probability: number,
): Promise<ModelVersion & { readonly file: Uint8Array }> {
  const width = featureNames.length;
  const graph = new GraphBuilder("constant");
  const input = graph.input("features", ["rows", width]);
  const zeros = graph.constant(new Float32Array(width), [width]);
  const known = graph.node("Where", [graph.node("IsNaN", [input]), zeros, input]);
  const nothing = graph.node("MatMul", [known, graph.constant(new Float32Array(width), [width, 1])]);
  graph.node("Add", [nothing, graph.constant([probability], [1])], {}, { output: "probability" });
  graph.output("probability", ["rows", 1]);
  const file = graph.toBytes();
  const artefact = createHash("sha256").update(file).digest("hex");
  await (await bus.objects("models")).putBlob({ name: artefact }, file);
  const version = create(ModelVersionSchema, { app, number, artefact, featureNames, baseRate: 0.5 });
  return Object.assign(version, { file });
}

/** Says who serves, as the registry does. */
export async function deploy(bus: Bus, champion: ModelVersion, previous?: ModelVersion): Promise<void> {
  const before = previous === undefined ? {} : { previous };
  const deployment = create(DeploymentSchema, { app: champion.app, champion, ...before });
  await (await bus.keyValue("deployments")).put(champion.app, toBinary(DeploymentSchema, deployment));
}
