import { create } from "@bufbuild/protobuf";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import {
  AdvanceModelResponseSchema,
  CompareModelsResponseSchema,
  DeleteModelResponseSchema,
  type DownloadModelResponse,
  DownloadModelResponseSchema,
  GetModelCardResponseSchema,
  GetModelResponseSchema,
  ListModelsResponseSchema,
  PromoteModelResponseSchema,
  RegistryService,
  RetireModelResponseSchema,
  RollBackModelResponseSchema,
  ScoreRowsResponseSchema,
} from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import type { Artefacts } from "./artefacts.ts";
import { given } from "./callFields.ts";
import { type CompareParts, compareOnSameRows } from "./compareModels.ts";
import { modelCard } from "./evaluation/modelCard.ts";
import { readEvaluation } from "./evaluation/storedEvaluation.ts";
import { type JobCallParts, JobCalls } from "./jobCalls.ts";
import { noSuchModel, type Registry, type Wish } from "./registry.ts";
import { inModelOrder } from "./scoreRequest.ts";
import type { Scoring } from "./scoring.ts";
import type { TrainingStore } from "./store.ts";
import { taskOf } from "./task.ts";
import { trialOf } from "./trialStatus.ts";
import type { UploadCalls } from "./upload/uploadCall.ts";

/** Largest message taken: 20,000 rows of a hundred features fit. */
export const MAX_MESSAGE_BYTES = 32 << 20;

/** Who changed something, where the caller does not say. */
const WHO = "registry call";

const CHUNK_BYTES = 1 << 20;

export interface RegistryServiceParts extends CompareParts, JobCallParts {
  readonly store: TrainingStore;
  readonly registry: Registry;
  readonly artefacts: Artefacts;
  readonly scoring: Scoring;
  readonly calls: UploadCalls;
}

/** The registry's gRPC calls. */
export function registryService(parts: RegistryServiceParts): ImplementedService {
  const { store, registry, scoring, calls, artefacts } = parts;
  const jobCalls = new JobCalls(parts);
  return implement(RegistryService, {
    async listModels({ app, deleted }) {
      const models = await store.listModels(given("app", app), deleted);
      return create(ListModelsResponseSchema, { models, ...(await trialOf(store, app)) });
    },
    async getModel({ app, number }) {
      const model = await modelOf(store, app, number);
      const history = await store.history(app, number);
      const { trial } = await trialOf(store, app);
      return create(GetModelResponseSchema, { model, history, ...(trial?.number === number ? { trial } : {}) });
    },
    async getModelCard({ app, number }) {
      const model = await modelOf(store, app, number);
      const evaluation = await readEvaluation(artefacts, model);
      return create(GetModelCardResponseSchema, { markdown: modelCard(model, evaluation), evaluation });
    },
    async promoteModel(request) {
      const deployment = await registry.promote(wishOf(request), request);
      return create(PromoteModelResponseSchema, { deployment });
    },
    async rollBackModel(request) {
      return create(RollBackModelResponseSchema, { deployment: await registry.rollBack(wishOf(request)) });
    },
    async advanceModel(request) {
      return create(AdvanceModelResponseSchema, { model: await registry.advance(wishOf(request), request.from) });
    },
    async retireModel(request) {
      return create(RetireModelResponseSchema, { model: await registry.retire(wishOf(request)) });
    },
    async deleteModel(request) {
      return create(DeleteModelResponseSchema, { model: await registry.delete(wishOf(request)) });
    },
    async compareModels({ app, left: leftNumber, right: rightNumber, storedOnly }, { signal }) {
      const left = await modelOf(store, app, leftNumber);
      const right = await modelOf(store, app, rightNumber);
      const compared = storedOnly ? {} : await compareOnSameRows(parts, left, right, signal);
      return create(CompareModelsResponseSchema, { left, right, ...compared });
    },
    async scoreRows(request, { signal }) {
      const model = await modelOf(store, request.app, request.number);
      if (taskOf(model).kind !== "binary") {
        const name = `${model.app}/${model.number}`;
        throw new MillraceError(
          "failed_precondition",
          `ScoreRows answers probabilities of BINARY models; ${name} is none`,
        );
      }
      const columns = model.featureNames.length;
      const values = inModelOrder(request, model);
      const probabilities = await scoring.score(model.artefact, values, columns, signal);
      return create(ScoreRowsResponseSchema, { probabilities: Array.from(probabilities) });
    },
    async *downloadModel({ app, number }) {
      yield* download(artefacts, await modelOf(store, app, number));
    },
    uploadModel: (requests, call) => calls.take(requests, call),
    requestTraining: (request) => jobCalls.request(request),
    listJobs: (request) => jobCalls.list(request),
    cancelJob: (request) => jobCalls.cancel(request),
  });
}

async function* download(artefacts: Artefacts, model: ModelVersion): AsyncGenerator<DownloadModelResponse> {
  const bytes = await artefacts.get(model.artefact);
  yield create(DownloadModelResponseSchema, { part: { case: "model", value: model } });
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
    yield create(DownloadModelResponseSchema, {
      part: { case: "chunk", value: bytes.subarray(start, start + CHUNK_BYTES) },
    });
  }
}

async function modelOf(store: TrainingStore, app: string, number: number): Promise<ModelVersion> {
  const model = await store.getModel(given("app", app), number);
  if (model === undefined) throw noSuchModel(app, number);
  return model;
}

interface WishFields {
  readonly app: string;
  readonly number: number;
  readonly reason: string;
  readonly author: string;
}

const wishOf = ({ app, number, reason, author }: WishFields): Wish => ({
  app: given("app", app),
  number,
  why: given("reason", reason),
  who: author || WHO,
});
