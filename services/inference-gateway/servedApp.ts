import { durationMs } from "@bufbuild/protobuf/wkt";
import { compileFeatures, type FeatureSet } from "@millrace/features";
import {
  type App,
  type AppVersion,
  type Budgets,
  type Cache,
  Fallback,
  type Serving,
  Task,
  TaskSchema,
} from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { type Answer, taskOf } from "./answer.ts";
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
  /** Of MULTICLASS: what its answers' indexes stand for. */
  readonly classes: readonly string[];
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
  readonly constant: Answer;
  readonly batch: BatcherOptions;
  /**
   * For each input of the model, in its order, the index of the app's feature.
   *
   * @throws `failed_precondition` when the app has no such feature, or another task.
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
  const task = taskOf({ task: app.model?.task ?? Task.UNSPECIFIED });
  const classes = app.model?.classes ?? [];
  const features = compileFeatures(app);
  return {
    name: app.app,
    version,
    features,
    checkFields: compileRequestRules(event, app.label.join),
    joinField: app.label.join,
    classes,
    decide: compileDecisions(serving, task, classes),
    deadlineMs: serving.deadline === undefined ? 1_000 : durationMs(serving.deadline),
    fallback: [...serving.fallback.filter((step) => step !== Fallback.CONSTANT), Fallback.CONSTANT],
    budgets: serving.budgets,
    missing: compileMissing(app, features.names),
    cache: cacheOptions(serving.cache),
    canaryField: serving.canaryBy || app.label.join,
    heldOut: compileHoldOut(app),
    constant: constantOf(serving, task, classes),
    batch: batchOptions(app),
    columns: columnsOf({ name: app.app, version, task, classes, features }),
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

function constantOf({ constant, constantClass }: Serving, task: Task, classes: readonly string[]): Answer {
  if (task === Task.REGRESSION) return { value: constant, interval: undefined };
  if (task === Task.MULTICLASS) return { predicted: classes.indexOf(constantClass), probabilities: [], set: [] };
  return constant;
}

interface Asking {
  readonly name: string;
  readonly version: number;
  readonly task: Task;
  readonly classes: readonly string[];
  readonly features: FeatureSet;
}

function columnsOf(app: Asking): ServedApp["columns"] {
  const { name: asks, version, features } = app;
  const known = new WeakMap<ModelVersion, readonly number[]>();
  return (model) => {
    let columns = known.get(model);
    if (columns === undefined) {
      checkTask(model, app);
      columns = model.featureNames.map((name) => features.names.indexOf(name));
      const missing = model.featureNames.filter((_, index) => columns?.[index] === -1);
      if (missing.length > 0) {
        const message = `${model.app}/${model.number} needs ${missing.join(", ")}, which version ${version} of ${asks} does not have`;
        throw new MillraceError("failed_precondition", message);
      }
      known.set(model, columns);
    }
    return columns;
  };
}

/** @throws `failed_precondition` for a model whose answers the app would not understand */
function checkTask(model: ModelVersion, { name, version, task, classes }: Asking): void {
  const answers = taskOf(model);
  // Classes that came later are at the end: an older model does not know them.
  const same = answers === task && model.classes.every((label, index) => classes[index] === label);
  if (same && (task !== Task.MULTICLASS || model.classes.length > 0)) return;
  const show = (of: Task, names: readonly string[]): string =>
    `${TaskSchema.value[of]?.localName ?? of}${names.length === 0 ? "" : ` of ${names.join(", ")}`}`;
  const message = `${model.app}/${model.number} answers ${show(answers, model.classes)}; version ${version} of ${name} asks for ${show(task, classes)}`;
  throw new MillraceError("failed_precondition", message);
}
