import type { ImplementedService } from "@millrace/rpc";
import type { Clock, Logger } from "@millrace/runtime";
import type { AppDirectory } from "../appDirectory.ts";
import type { Config } from "../config.ts";
import type { Deployments } from "../deployments.ts";
import type { ModelDirectory } from "../modelDirectory.ts";
import type { ModelLoader } from "../modelLoader.ts";
import { ModelRepository } from "../modelRepository.ts";
import { observeModels } from "../observeModels.ts";
import type { ThreadLoad } from "../threadLoad.ts";
import { inferenceHandlers } from "./handlers.ts";
import { Inference } from "./inference.ts";

export interface InferenceServiceParts {
  readonly config: Config;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly loader: ModelLoader;
  readonly directory: ModelDirectory;
  readonly apps: AppDirectory;
  readonly deployments: Deployments;
  readonly load: ThreadLoad;
}

/** Builds `inference.GRPCInferenceService` with its model repository, and loads what is in the repository's folder. */
export async function startInferenceService({
  config,
  clock,
  logger,
  loader,
  directory,
  apps,
  deployments,
  load,
}: InferenceServiceParts): Promise<ImplementedService> {
  const repository = new ModelRepository({
    loader,
    directory,
    control: config.modelControl,
    folder: config.modelFolder,
    maxBytes: config.modelRepositoryBytes,
    isApp: (name) => apps.get(name) !== undefined || deployments.serving(name) !== undefined,
    *absent() {
      for (const [name, { champion, problem }] of deployments.all) {
        if (champion === undefined) yield { name, reason: problem };
      }
    },
    logger,
  });
  await repository.start();
  const inference = new Inference({
    directory,
    clock,
    deadlineMs: (model) => apps.get(model)?.app.deadlineMs,
    maxMs: config.inferTimeoutMs,
    maxBytes: config.inferBytes,
    load,
  });
  observeModels(directory);
  return inferenceHandlers({ directory, repository, inference });
}
