import { type Clock, describeError, MillraceError } from "@millrace/runtime";
import { watchRun } from "./askModel.ts";
import {
  type ChainAnswer,
  deadlineOf,
  inModelOrder,
  type ModelStep,
  modelSteps,
  type Question,
  type Tried,
} from "./fallback.ts";
import type { PredictCounts } from "./metrics.ts";
import { checkMissing } from "./missingFeatures.ts";

/** What asking together came to: an answer, or the question as the chain has to be asked it. */
export type TogetherAnswer = { readonly answer: ChainAnswer } | { readonly question: Question };

/** Questions of one call that go to the same version first. */
interface Group {
  readonly step: ModelStep;
  readonly isLast: boolean;
  /** Places among the questions. */
  readonly places: number[];
}

/**
 * Asks versions the questions of one call that go to them first, as many in one request as the version takes in a batch. What concerns a
 * single question is left to the chain: one that lacks features, whose answer may be kept, or whose answer is none; and all of
 * a request that failed, so that of its questions only those fail that have to. Never fails.
 */
export async function askTogether(
  questions: readonly Question[],
  counts: PredictCounts,
  clock: Clock,
): Promise<TogetherAnswer[]> {
  const results = questions.map((question): TogetherAnswer => ({ question }));
  const requests: Promise<void>[] = [];
  for (const group of groups(questions)) {
    const { maxRows = 1 } = group.step.served.lane;
    for (let from = 0; from < group.places.length; from += maxRows) {
      const places = group.places.slice(from, from + maxRows);
      if (places.length > 1) requests.push(askGroup({ ...group, places }, questions, results, counts, clock));
    }
  }
  await Promise.all(requests);
  return results;
}

function groups(questions: readonly Question[]): Iterable<Group> {
  const found = new Map<ModelStep["served"], Group>();
  for (const [place, question] of questions.entries()) {
    if (question.answers !== undefined || !isWhole(question)) continue;
    const [step, ...others] = modelSteps(question);
    if (step === undefined) continue;
    const group = found.get(step.served);
    if (group === undefined) found.set(step.served, { step, isLast: others.length === 0, places: [place] });
    else group.places.push(place);
  }
  return found.values();
}

/** No feature is missing without which the version may not be asked. */
function isWhole({ app, features }: Question): boolean {
  try {
    return checkMissing(app.missing, features) === undefined;
  } catch {
    return false;
  }
}

/** Asks one request, and notes for each of its questions what came of it. */
async function askGroup(
  { step, isLast, places }: Group,
  questions: readonly Question[],
  results: TogetherAnswer[],
  counts: PredictCounts,
  clock: Clock,
): Promise<void> {
  const { served, madeBy } = step;
  const { app, time, signal, traceparent } = questions[places[0] as number] as Question;
  try {
    const columns = app.columns(served.model);
    const rows = places.map((place) => inModelOrder((questions[place] as Question).features as Float64Array, columns));
    if (!served.breaker.allow(clock.now())) return;
    const by = deadlineOf(step, isLast, time, clock.now());
    const request = served.lane.submitRows(concatenate(rows), rows.length, by, traceparent);
    const outputs = await watchRun(served, request.outputs, request, { fair: time.fair, signal }, clock);
    for (const [row, place] of places.entries()) {
      const answer = served.lane.answerOf(outputs, row);
      if (answer === undefined) continue;
      counts.step(app.name, madeBy, "answered");
      const features = rows[row] as Float64Array;
      const modelVersion = served.version;
      results[place] = { answer: { answer, madeBy, modelVersion, reason: "", features, cached: false } };
    }
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== "deadline_exceeded") return;
    // There is no time to ask it again.
    const tried: Tried = { served, result: error.code, reason: describeError(error) };
    for (const place of places) results[place] = { question: { ...(questions[place] as Question), tried } };
  }
}

function concatenate(rows: readonly Float64Array[]): Float64Array {
  const width = (rows[0] as Float64Array).length;
  const whole = new Float64Array(rows.length * width);
  for (const [index, row] of rows.entries()) whole.set(row, index * width);
  return whole;
}
