import { durationMs } from "@bufbuild/protobuf/wkt";
import { enumName } from "@millrace/app";
import { compileFeatures, type FeatureSet } from "@millrace/features";
import {
  type App,
  type AppVersion,
  type Budgets,
  type Cache,
  Fallback,
  Task,
  TaskSchema,
} from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import type { AnswerCacheOptions } from "./answerCache.ts";
import type { BatcherOptions } from "./batcher.ts";
import { compileDecisions, type Decide } from "./decision.ts";
import { compileHoldOut, type HeldOut } from "./holdOut.ts";
import { compileMissing, type MissingPolicy } from "./missingFeatures.ts";
import { type CheckFields, compileRequestRules } from "./requestRules.ts";

/** An app's definition, compiled for serving. */
export interface ServedApp {
  readonly name: string;
  readonly version: number;
  readonly features: FeatureSet;
  /** What is wrong with a request's fields. */
  readonly checkFields: CheckFields;
  /** The request field that the label event will carry, too. */
  readonly joinField: string;
  readonly decide: Decide;
  /** For calls that set no deadline. */
  readonly deadlineMs: number;
  /** What answers when the champion cannot, in this order. */
  readonly fallback: readonly Fallback[];
  readonly budgets: Budgets | undefined;
  readonly missing: MissingPolicy;
  /** Absent: a model is asked for every question. */
  readonly cache: AnswerCacheOptions | undefined;
  /** The request field by which a canary's share is chosen. */
  readonly canaryField: string;
  /** Absent: nothing is held out of decisions. */
  readonly heldOut: HeldOut | undefined;
  readonly constant: number;
  readonly batch: BatcherOptions;
  /**
   * For each input of the model, in its order, the index of the app's feature.
   *
   * @throws `failed_precondition` when the app has no such feature.
   */
  columns(model: ModelVersion): readonly number[];
}

/** Most requests that wait for a model version; at 64 a batch and 1 ms a run that is 16 ms of work. */
const MAX_QUEUE = 1_024;
const DEFAULT_BATCH_SIZE = 64;
const DEFAULT_BATCH_DELAY_MS = 2;

export const DEFAULT_BATCH: BatcherOptions = {
  maxQueue: MAX_QUEUE,
  maxSize: DEFAULT_BATCH_SIZE,
  maxDelayMs: DEFAULT_BATCH_DELAY_MS,
};

/** Compiles an app as the bucket `apps` holds it. @throws `failed_precondition` for one that cannot be served. */
export function compileApp({ app, version }: AppVersion): ServedApp {
  const serving = app?.serving;
  const event = app?.events[app.prediction?.at ?? ""];
  if (app === undefined || serving === undefined || event === undefined || app.label === undefined) {
    throw new MillraceError("failed_precondition", `app ${app?.app ?? ""}: serving, prediction or label is missing`);
  }
  const task = app.model?.task ?? Task.UNSPECIFIED;
  if (task !== Task.UNSPECIFIED && task !== Task.BINARY) {
    const title = enumName(TaskSchema, task);
    throw new MillraceError("failed_precondition", `app ${app.app}: ${title} models are trained, but not served yet`);
  }
  const features = compileFeatures(app);
  return {
    name: app.app,
    version,
    features,
    checkFields: compileRequestRules(event, app.label.join),
    joinField: app.label.join,
    decide: compileDecisions(serving),
    deadlineMs: serving.deadline === undefined ? 1_000 : durationMs(serving.deadline),
    fallback: [...serving.fallback.filter((step) => step !== Fallback.CONSTANT), Fallback.CONSTANT],
    budgets: serving.budgets,
    missing: compileMissing(app, features.names),
    cache: cacheOptions(serving.cache),
    canaryField: serving.canaryBy || app.label.join,
    heldOut: compileHoldOut(app),
    constant: serving.constant,
    batch: batchOptions(app),
    columns: columnsOf(app.app, version, features),
  };
}

const DEFAULT_CACHE_ENTRIES = 10_000;

function cacheOptions(cache: Cache | undefined): AnswerCacheOptions | undefined {
  if (cache?.ttl === undefined) return undefined;
  return { ttlMs: durationMs(cache.ttl), maxEntries: cache.maxEntries || DEFAULT_CACHE_ENTRIES };
}

function batchOptions(app: App): BatcherOptions {
  const batch = app.serving?.batch;
  const maxSize = batch?.maxSize || DEFAULT_BATCH_SIZE;
  return {
    maxSize,
    maxQueue: Math.max(MAX_QUEUE, 4 * maxSize),
    maxDelayMs: batch?.maxDelay === undefined ? DEFAULT_BATCH_DELAY_MS : durationMs(batch.maxDelay),
  };
}

function columnsOf(app: string, version: number, features: FeatureSet): ServedApp["columns"] {
  const known = new WeakMap<ModelVersion, readonly number[]>();
  return (model) => {
    let columns = known.get(model);
    if (columns === undefined) {
      columns = model.featureNames.map((name) => features.names.indexOf(name));
      const missing = model.featureNames.filter((_, index) => columns?.[index] === -1);
      if (missing.length > 0) {
        const message = `${model.app}/${model.number} needs ${missing.join(", ")}, which version ${version} of ${app} does not have`;
        throw new MillraceError("failed_precondition", message);
      }
      known.set(model, columns);
    }
    return columns;
  };
}
