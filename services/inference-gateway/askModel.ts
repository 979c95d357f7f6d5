import type { Traceparent } from "@millrace/bus";
import type { Departure } from "@millrace/rpc";
import { type Clock, describeError, MillraceError } from "@millrace/runtime";
import type { Answer } from "./answer.ts";
import { type AnswerCache, answerKey, type Origin } from "./answerCache.ts";
import type { Blame } from "./laneRequest.ts";
import { refusal } from "./refusal.ts";
import type { ServedModel } from "./servedModel.ts";

/** One question for one version. */
export interface ModelQuestion {
  /** The model's inputs, in its order. */
  readonly features: Float64Array;
  /** Milliseconds on the clock. */
  readonly by: number;
  /** An answer that does not come by then is the model's fault, not the caller's. */
  readonly fair: boolean;
  readonly signal: Departure;
  readonly traceparent: Traceparent;
}

/** An answer, or why there is none. */
export type ModelAnswer =
  | { readonly answer: Answer; readonly origin: Origin }
  | { readonly failure: MillraceError; readonly stoppedBy: "breaker" | "model" };

/** Asks a version, unless its circuit breaker is open, or its answer to the same inputs is known. Never fails. */
export async function askModel(
  served: ServedModel,
  question: ModelQuestion,
  answers: AnswerCache | undefined,
  clock: Clock,
): Promise<ModelAnswer> {
  let open = false;
  const run = (): Promise<Answer> => {
    open = !served.breaker.allow(clock.now());
    if (!open) return runModel(served, question, clock);
    return Promise.reject(
      refusal("unavailable", `${served.version}: its circuit breaker is open after too many failures`),
    );
  };
  try {
    if (answers === undefined) return { answer: await run(), origin: "run" };
    const key = answerKey(served.version, question.features);
    return await answers.get(key, run, question.by, question.signal);
  } catch (error) {
    const failure = error instanceof MillraceError ? error : new MillraceError("internal", describeError(error));
    return { failure, stoppedBy: open ? "breaker" : "model" };
  }
}

function runModel(served: ServedModel, question: ModelQuestion, clock: Clock): Promise<Answer> {
  const { features, traceparent, by } = question;
  const row = served.lane.submit({ features, traceparent }, by);
  return watchRun(served, row.answer, row, question, clock);
}

/** One run, of which the breaker learns how it ended. */
export async function watchRun<Answer>(
  { breaker }: ServedModel,
  run: Promise<Answer>,
  { cancel, blame }: { readonly cancel: () => void; readonly blame: Blame },
  { fair, signal }: Pick<ModelQuestion, "fair" | "signal">,
  clock: Clock,
): Promise<Answer> {
  if (signal.aborted) cancel();
  else signal.addEventListener("abort", cancel, { once: true });
  try {
    const answer = await run;
    breaker.success(clock.now());
    return answer;
  } catch (error) {
    const late = error instanceof MillraceError && error.code === "deadline_exceeded";
    // What never reached the model says nothing about it.
    if (blame.modelsFault && (fair || !late)) breaker.failure(clock.now());
    else breaker.abandon();
    throw error;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}
