import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { getApp } from "@millrace/app";
import { type Bus, trainingJobSubject } from "@millrace/bus";
import { TrainingJobSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import {
  GetModelCardResponseSchema,
  GetModelResponseSchema,
  ListModelsResponseSchema,
  PromoteModelResponseSchema,
  RegistryService,
  RequestTrainingResponseSchema,
  RollBackModelResponseSchema,
  type ScoreRowsRequest,
  ScoreRowsResponseSchema,
} from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import type { Artefacts } from "./artefacts.ts";
import { modelCard } from "./evaluation/modelCard.ts";
import { readEvaluation } from "./evaluation/storedEvaluation.ts";
import { noSuchModel, type Registry } from "./registry.ts";
import type { Scoring } from "./scoring.ts";
import type { TrainingStore } from "./store.ts";
import { taskOf } from "./task.ts";
import type { UploadCalls } from "./upload/uploadCall.ts";

/** Most rows of one ScoreRows call. */
const MAX_SCORE_ROWS = 20_000;

/** Largest message taken: 20,000 rows of a hundred features fit. */
export const MAX_MESSAGE_BYTES = 32 << 20;

/** Who changed something through the registry's calls; the caller's name is not known yet. */
const WHO = "registry call";

export interface RegistryServiceParts {
  readonly bus: Bus;
  readonly store: TrainingStore;
  readonly registry: Registry;
  readonly artefacts: Artefacts;
  readonly scoring: Scoring;
  readonly calls: UploadCalls;
}

/** The registry's gRPC calls. */
export function registryService({
  bus,
  store,
  registry,
  artefacts,
  scoring,
  calls,
}: RegistryServiceParts): ImplementedService {
  return implement(RegistryService, {
    async listModels({ app }) {
      return create(ListModelsResponseSchema, { models: await store.listModels(given("app", app)) });
    },
    async getModel({ app, number }) {
      return create(GetModelResponseSchema, { model: await modelOf(store, app, number) });
    },
    async getModelCard({ app, number }) {
      const model = await modelOf(store, app, number);
      const evaluation = await readEvaluation(artefacts, model);
      return create(GetModelCardResponseSchema, { markdown: modelCard(model, evaluation), evaluation });
    },
    async promoteModel({ app, number, reason }) {
      const deployment = await registry.promote(given("app", app), number, given("reason", reason), WHO);
      return create(PromoteModelResponseSchema, { deployment });
    },
    async rollBackModel({ app, reason }) {
      const deployment = await registry.rollBack(given("app", app), given("reason", reason), WHO);
      return create(RollBackModelResponseSchema, { deployment });
    },
    async requestTraining({ app, reason, asOf }) {
      await getApp(bus, given("app", app));
      const id = randomUUID();
      const time = asOf === undefined ? {} : { asOf };
      const job = create(TrainingJobSchema, { id, app, trigger: "manual", reason, ...time });
      await bus.publish(trainingJobSubject(app), TrainingJobSchema, job, { id });
      return create(RequestTrainingResponseSchema, { jobId: id });
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
    uploadModel: (requests, call) => calls.take(requests, call),
  });
}

async function modelOf(store: TrainingStore, app: string, number: number): Promise<ModelVersion> {
  const model = await store.getModel(given("app", app), number);
  if (model === undefined) throw noSuchModel(app, number);
  return model;
}

function given(field: string, value: string): string {
  if (value !== "") return value;
  throw invalid(field, "missing", `${field} is empty; name it`);
}

function invalid(field: string, reason: string, description: string): MillraceError {
  return new MillraceError("invalid_argument", description, { violations: [{ field, reason, description }] });
}

/** The request's rows with the model's columns, in the model's order. */
export function inModelOrder({ featureNames, values }: ScoreRowsRequest, model: ModelVersion): Float32Array {
  const width = featureNames.length;
  if (width === 0 || values.length % width !== 0) {
    throw invalid(
      "values",
      "wrong_length",
      `values has ${values.length} numbers, which are no whole rows of ${width} features`,
    );
  }
  const rows = values.length / width;
  if (rows > MAX_SCORE_ROWS) {
    throw invalid("values", "too_many_rows", `values has ${rows} rows; send at most ${MAX_SCORE_ROWS} in one call`);
  }
  const places = model.featureNames.map((name) => featureNames.indexOf(name));
  const missing = model.featureNames.filter((_, index) => places[index] === -1);
  if (missing.length > 0) {
    throw invalid(
      "feature_names",
      "missing",
      `feature_names lacks ${missing.join(", ")}, which ${model.app}/${model.number} needs`,
    );
  }
  const ordered = new Float32Array(rows * places.length);
  let next = 0;
  for (let row = 0; row < rows; row += 1) {
    for (const place of places) {
      ordered[next] = values[row * width + place] as number;
      next += 1;
    }
  }
  return ordered;
}
