import type { Traceparent } from "@millrace/bus";
import { Fallback } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { Departure } from "@millrace/rpc";
import { type Clock, describeError } from "@millrace/runtime";
import type { Answer } from "./answer.ts";
import type { AnswerCache } from "./answerCache.ts";
import { askModel, type ModelAnswer } from "./askModel.ts";
import type { CallTime } from "./callTime.ts";
import type { PredictCounts } from "./metrics.ts";
import { checkMissing } from "./missingFeatures.ts";
import type { ServedApp } from "./servedApp.ts";
import type { ServedModel, Serving } from "./servedModel.ts";
import { inShare } from "./stableShare.ts";

/** What the chain is asked. */
export interface Question {
  readonly app: ServedApp;
  readonly serving: Serving | undefined;
  /** The app's features in the order of its names, or why there are none. */
  readonly features: Float64Array | string;
  /** Whoever has the same key is answered by the same version. */
  readonly canaryKey: string;
  readonly answers: AnswerCache | undefined;
  readonly time: CallTime;
  readonly signal: Departure;
  readonly traceparent: Traceparent;
  /** Of a version that has been asked already, together with other questions: it is not asked again. */
  readonly tried?: Tried | undefined;
}

/** Why a version that was asked does not answer. */
export interface Tried extends StepFailure {
  readonly served: ServedModel;
}

/** Who answered, and why not those before it. */
export interface ChainAnswer {
  readonly answer: Answer;
  readonly madeBy: MadeBy;
  /** `<app>/<number>`; empty when no model made it. */
  readonly modelVersion: string;
  readonly reason: string;
  /** The inputs used, in the model's order, or the app's where no model answered. */
  readonly features: Float64Array;
  /** The model did not run for this question. */
  readonly cached: boolean;
}

export interface ModelStep {
  readonly madeBy: MadeBy;
  readonly served: ServedModel;
  /** Of the call's time for models; undefined: `DEFAULT_SHARE` of what is left, or all of it for the last. */
  readonly share: number | undefined;
}

const DEFAULT_SHARE = 0.6;
const NO_FEATURES = new Float64Array();

/**
 * Canary, champion, then the app's fallbacks in their order, until one answers; the last one, the constant, always does. Every step ends
 * in time for the next.
 *
 * @throws `resource_exhausted` when the queue is full (the other steps would hide an overload that the caller should know
 *   about), `cancelled` when the caller has gone, and what `checkMissing` throws.
 */
export async function askChain(question: Question, counts: PredictCounts, clock: Clock): Promise<ChainAnswer> {
  const { app, serving, features } = question;
  const reasons: string[] = [];
  const note = (madeBy: MadeBy, result: string, reason: string): void => {
    counts.step(app.name, madeBy, result);
    reasons.push(reason);
  };
  const missing = checkMissing(app.missing, features);
  if (serving === undefined) note(MadeBy.CHAMPION, "no_model", "no model has been trained yet");
  else if (serving.champion === undefined) note(MadeBy.CHAMPION, "not_loaded", serving.problem);
  if (typeof features === "string") note(MadeBy.CHAMPION, "features_unavailable", features);
  else if (missing !== undefined) note(MadeBy.CHAMPION, "features_missing", missing);
  else {
    const steps = modelSteps(question);
    for (const [index, step] of steps.entries()) {
      const by = deadlineOf(step, index === steps.length - 1, question.time, clock.now());
      const tried = question.tried?.served === step.served ? question.tried : undefined;
      const answer = tried ?? (await askStep(step, features, by, question, clock));
      if ("answer" in answer) {
        counts.step(app.name, step.madeBy, answer.origin === "run" ? "answered" : answer.origin);
        return { ...answer, reason: reasons.join("; ") };
      }
      note(step.madeBy, answer.result, answer.reason);
    }
  }
  const baseline = app.fallback.includes(Fallback.BASELINE) ? serving?.baseline : undefined;
  const madeBy = baseline === undefined ? MadeBy.CONSTANT : MadeBy.BASELINE;
  counts.step(app.name, madeBy, "answered");
  return {
    answer: baseline ?? app.constant,
    madeBy,
    modelVersion: "",
    reason: reasons.join("; "),
    features: typeof features === "string" ? NO_FEATURES : features,
    cached: false,
  };
}

/** The versions to ask, in their order. */
export function modelSteps({ app, serving, canaryKey }: Question): ModelStep[] {
  const steps: ModelStep[] = [];
  if (serving === undefined) return steps;
  const { canary, champion, previous } = serving;
  const add = (madeBy: MadeBy, served: ServedModel, share: number | undefined): void => {
    steps.push({ madeBy, served, share });
  };
  if (canary !== undefined && inShare(canary.model.version, canaryKey, canary.percent))
    add(MadeBy.CANARY, canary.model, app.budgets?.canary);
  if (champion !== undefined) add(MadeBy.CHAMPION, champion, app.budgets?.champion);
  if (previous !== undefined && app.fallback.includes(Fallback.PREVIOUS))
    add(MadeBy.PREVIOUS, previous, app.budgets?.previous);
  return steps;
}

/** By when a version has to have answered, so that the next can still be asked. */
export function deadlineOf(
  { share }: ModelStep,
  isLast: boolean,
  { arrivedAt, modelBy }: CallTime,
  now: number,
): number {
  if (share !== undefined) return Math.min(modelBy, now + share * (modelBy - arrivedAt));
  return isLast ? modelBy : now + DEFAULT_SHARE * (modelBy - now);
}

type StepAnswer = Omit<ChainAnswer, "reason"> & { readonly origin: string };
interface StepFailure {
  readonly result: string;
  readonly reason: string;
}

/** @throws `cancelled`, and `resource_exhausted` but for a canary, whose questions the champion can take. */
async function askStep(
  { served, madeBy }: ModelStep,
  appFeatures: Float64Array,
  by: number,
  { app, answers, time, signal, traceparent }: Question,
  clock: Clock,
): Promise<StepAnswer | StepFailure> {
  let features: Float64Array;
  try {
    features = inModelOrder(appFeatures, app.columns(served.model));
  } catch (error) {
    return { result: "misfit", reason: describeError(error) };
  }
  const asked = { features, by, fair: time.fair, signal, traceparent };
  const said: ModelAnswer = await askModel(served, asked, answers, clock);
  if ("answer" in said) {
    const { answer, origin } = said;
    return { answer, origin, madeBy, modelVersion: served.version, features, cached: origin !== "run" };
  }
  const { failure, stoppedBy } = said;
  if (failure.code === "cancelled") throw failure;
  if (failure.code === "resource_exhausted" && madeBy !== MadeBy.CANARY) throw failure;
  return { result: stoppedBy === "breaker" ? "breaker_open" : failure.code, reason: describeError(failure) };
}

/** Most often the orders agree, both being alphabetical: then nothing is copied. */
export function inModelOrder(appFeatures: Float64Array, columns: readonly number[]): Float64Array {
  if (columns.length === appFeatures.length && columns.every((column, index) => column === index)) return appFeatures;
  return Float64Array.from(columns, (column) => appFeatures[column] as number);
}
