import type { Traceparent } from "@millrace/bus";
import { Fallback } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { type Clock, describeError, MillraceError } from "@millrace/runtime";
import type { ServedApp } from "./servedApp.ts";
import type { ServedModel, Serving } from "./servedModel.ts";

/** What the chain is asked. Times are milliseconds on the chain's clock. */
export interface Question {
  readonly app: ServedApp;
  readonly serving: Serving | undefined;
  /** The app's features in the order of its names, or why there are none. */
  readonly features: Float64Array | string;
  readonly arrivedAt: number;
  /** By then a model has to have answered. */
  readonly modelBy: number;
  /** The call's budget is the app's own or longer: a model that exceeds it has failed, not the caller. */
  readonly fairBudget: boolean;
  readonly signal: AbortSignal;
  readonly traceparent: Traceparent;
}

/** Who answered, and why not those before it. */
export interface ChainAnswer {
  readonly probability: number;
  readonly madeBy: MadeBy;
  /** `<app>/<number>`; empty when no model made it. */
  readonly modelVersion: string;
  readonly reason: string;
  /** The inputs used, in the model's order, or the app's where no model answered. */
  readonly features: Float64Array;
}

/** The champion may use this share of the time when another model is to follow it. */
const CHAMPION_SHARE = 0.6;
const NO_FEATURES = new Float64Array();

/**
 * Champion, then the app's fallbacks in their order, until one answers; the last one, the constant, always does. Every step
 * ends in time for the next.
 *
 * @throws `resource_exhausted` when the queue is full (the other steps would hide an overload that the caller should know
 *   about), `cancelled` when the caller has gone.
 */
export async function askChain(question: Question, clock: Clock): Promise<ChainAnswer> {
  const { app, serving, features, arrivedAt, modelBy } = question;
  const reasons: string[] = [];
  const previous = app.fallback.includes(Fallback.PREVIOUS) ? serving?.previous : undefined;
  const championBy = previous === undefined ? modelBy : arrivedAt + (modelBy - arrivedAt) * CHAMPION_SHARE;
  if (serving === undefined) reasons.push("no model has been trained yet");
  else if (serving.champion === undefined) reasons.push(serving.problem);
  else if (typeof features === "string") reasons.push(features);
  else {
    const answer = await askModel(serving.champion, MadeBy.CHAMPION, features, championBy, question, clock, reasons);
    if (answer !== undefined) return answer;
  }
  for (const step of app.fallback) {
    if (step === Fallback.PREVIOUS && previous !== undefined && typeof features !== "string") {
      const answer = await askModel(previous, MadeBy.PREVIOUS, features, modelBy, question, clock, reasons);
      if (answer !== undefined) return answer;
    }
    if (step === Fallback.BASELINE && serving !== undefined) {
      return withoutModel(question, MadeBy.BASELINE, serving.baseRate, reasons);
    }
  }
  return withoutModel(question, MadeBy.CONSTANT, app.constant, reasons);
}

/** Asks one version; undefined, with the reason added, when it does not answer. */
async function askModel(
  served: ServedModel,
  madeBy: MadeBy,
  appFeatures: Float64Array,
  by: number,
  { app, signal, fairBudget, traceparent }: Question,
  clock: Clock,
  reasons: string[],
): Promise<ChainAnswer | undefined> {
  const { breaker, lane, version, model } = served;
  if (!breaker.allow(clock.now())) {
    reasons.push(`${version}: its circuit breaker is open after too many failures`);
    return undefined;
  }
  try {
    const features = inModelOrder(appFeatures, app.columns(model));
    const row = lane.submit({ features, traceparent }, by);
    if (signal.aborted) row.cancel();
    else signal.addEventListener("abort", row.cancel, { once: true });
    const probability = await row.probability;
    breaker.success(clock.now());
    return { probability, madeBy, modelVersion: version, reason: reasons.join("; "), features };
  } catch (error) {
    const code = error instanceof MillraceError ? error.code : "internal";
    const modelsFault = code !== "resource_exhausted" && code !== "cancelled";
    if (modelsFault && (code !== "deadline_exceeded" || fairBudget)) breaker.failure(clock.now());
    else breaker.abandon();
    if (!modelsFault) throw error;
    reasons.push(describeError(error));
    return undefined;
  }
}

function withoutModel(
  question: Question,
  madeBy: MadeBy,
  probability: number,
  reasons: readonly string[],
): ChainAnswer {
  const features = typeof question.features === "string" ? NO_FEATURES : question.features;
  return { probability, madeBy, modelVersion: "", reason: reasons.join("; "), features };
}

/** Most often the orders agree, both being alphabetical: then nothing is copied. */
function inModelOrder(appFeatures: Float64Array, columns: readonly number[]): Float64Array {
  if (columns.length === appFeatures.length && columns.every((column, index) => column === index)) return appFeatures;
  return Float64Array.from(columns, (column) => appFeatures[column] as number);
}
