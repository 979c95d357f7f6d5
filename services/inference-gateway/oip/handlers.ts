import { create } from "@bufbuild/protobuf";
import { traceparentOf } from "@millrace/bus";
import * as inference from "@millrace/proto/inference/grpc_service_pb.ts";
import { type Call, type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import type { ModelDirectory } from "../modelDirectory.ts";
import type { ModelRepository } from "../modelRepository.ts";
import type { Inference, InferenceCall } from "./inference.ts";
import { modelConfig, modelMetadata } from "./modelConfig.ts";
import { statisticsMessage } from "./statistics.ts";

export interface HandlersOptions {
  readonly directory: ModelDirectory;
  readonly repository: ModelRepository;
  readonly inference: Inference;
}

const EXTENSIONS = ["model_configuration", "model_repository", "schedule_policy", "statistics"];
const SERVER_VERSION = "0.1.0";

/** `inference.GRPCInferenceService`: the Open Inference Protocol with Triton's extensions. */
export function inferenceHandlers(options: HandlersOptions): ImplementedService {
  const { directory, repository, inference: runner } = options;
  const isReady = (name: string, version: string): boolean => {
    try {
      directory.find(name, version);
      return true;
    } catch (error) {
      if (error instanceof MillraceError && error.code === "not_found") return false;
      throw error;
    }
  };
  return implement(inference.GRPCInferenceService, {
    serverLive: async () => create(inference.ServerLiveResponseSchema, { live: true }),
    serverReady: async () => create(inference.ServerReadyResponseSchema, { ready: true }),
    modelReady: async ({ name, version }) =>
      create(inference.ModelReadyResponseSchema, { ready: isReady(name, version) }),
    serverMetadata: async () =>
      create(inference.ServerMetadataResponseSchema, {
        name: "millrace",
        version: SERVER_VERSION,
        extensions: EXTENSIONS,
      }),
    modelMetadata: async ({ name, version }) => {
      const versions = directory.versions(name).map((model) => model.version);
      return modelMetadata(directory.find(name, version), versions);
    },
    modelInfer: (request, call) => runner.infer(request, known(call)),
    modelStreamInfer: (requests, call) => runner.stream(requests, known(call)),
    modelConfig: async ({ name, version }) =>
      create(inference.ModelConfigResponseSchema, { config: modelConfig(directory.find(name, version)) }),
    modelStatistics: async ({ name, version }) => {
      const models = name === "" ? [...directory.all()] : statisticsOf(directory, name, version);
      return create(inference.ModelStatisticsResponseSchema, { modelStats: models.map(statisticsMessage) });
    },
    repositoryIndex: async ({ repositoryName, ready: onlyReady }) => {
      checkRepository(repositoryName);
      const models = repository.index().filter(({ state }) => !onlyReady || state === "READY");
      return create(inference.RepositoryIndexResponseSchema, { models });
    },
    repositoryModelLoad: async ({ repositoryName, modelName, parameters }) => {
      checkRepository(repositoryName);
      await repository.load(modelName, parameters);
      return create(inference.RepositoryModelLoadResponseSchema);
    },
    repositoryModelUnload: async ({ repositoryName, modelName }) => {
      checkRepository(repositoryName);
      await repository.unload(modelName);
      return create(inference.RepositoryModelUnloadResponseSchema);
    },
  });
}

const known = ({ deadlineMs, departure }: Call): InferenceCall => ({
  deadlineMs,
  signal: departure,
  traceparent: traceparentOf(),
});

function statisticsOf(directory: ModelDirectory, name: string, version: string) {
  const found = directory.find(name, version);
  return version === "" ? directory.versions(name) : [found];
}

function checkRepository(name: string): void {
  if (name === "") return;
  throw new MillraceError("not_found", "expected no repository_name, for there is one repository; got another name");
}
