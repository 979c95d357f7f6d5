import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { WhenMissing } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { AnswerCache } from "./answerCache.ts";
import { askTogether } from "./askTogether.ts";
import { Breaker } from "./breaker.ts";
import { callTime } from "./callTime.ts";
import type { Question } from "./fallback.ts";
import { APP, FEATURES, testApp } from "./gatewayForTests.ts";
import type { Lane } from "./lane.ts";
import { PredictCounts } from "./metrics.ts";
import { compileApp } from "./servedApp.ts";
import type { ServedModel } from "./servedModel.ts";

const clock = { now: () => performance.now() };

/** A version that answers a row with its first feature, or fails so. Remembers how many rows it was asked at once. */
function version(number: number, failure?: MillraceError, maxRows: number | undefined = 16) {
  const asked: number[] = [];
  const submitRows: Lane["submitRows"] = (features, rows) => {
    asked.push(rows);
    const width = features.length / rows;
    const data = Float64Array.from({ length: rows }, (_, row) => features[row * width] as number);
    return {
      outputs: failure === undefined ? Promise.resolve([{ data, dims: [rows, 1] }]) : Promise.reject(failure),
      cancel: () => undefined,
      blame: { modelsFault: failure !== undefined },
    };
  };
  const model = create(ModelVersionSchema, { app: APP, number, featureNames: FEATURES });
  const answerOf: Lane["answerOf"] = ([output], row) => {
    const probability = output?.data[row] as number;
    return probability <= 1 ? probability : undefined;
  };
  const lane = { submitRows, answerOf, maxRows } as unknown as Lane;
  const served: ServedModel = { version: `${APP}/${number}`, model, lane, breaker: new Breaker() };
  return { served, asked };
}

const app = compileApp(testApp(400, { whenMissing: WhenMissing.FALL_BACK }));

/** So many questions of one call; the first feature of each is its place among them, as a share. */
function questions(count: number, champion: ServedModel, canary?: ServedModel): Question[] {
  const time = callTime(clock.now(), Infinity, 400, count);
  const serving = { champion, problem: "", previous: undefined, baseline: 0.25, shadow: undefined };
  const signal = new AbortController().signal;
  return Array.from({ length: count }, (_, place) => ({
    app,
    serving: { ...serving, canary: canary && { model: canary, percent: 50 } },
    features: Float64Array.of(place / count, 2, 3),
    canaryKey: `${place}`,
    answers: undefined,
    time,
    signal,
    traceparent: "",
  }));
}

test("a call's questions are asked by as many at once as the version takes in a batch", async () => {
  const champion = version(1);
  const counts = new PredictCounts();
  const results = await askTogether(questions(40, champion.served), counts, clock);
  assert.deepEqual(champion.asked, [16, 16, 8]);
  const answers = results.map((result) => ("answer" in result ? result.answer : undefined));
  assert.deepEqual(
    answers.map((answer) => answer?.answer),
    Array.from({ length: 40 }, (_, place) => place / 40),
  );
  assert.ok(answers.every((answer) => answer?.madeBy === MadeBy.CHAMPION && answer.modelVersion === `${APP}/1`));
  assert.equal(counts.steps(MadeBy.CHAMPION, "answered"), 40);
});

test("a canary gets its share of them, the same as by single questions", async () => {
  const [champion, canary] = [version(1, undefined, 100), version(2, undefined, 100)];
  const results = await askTogether(questions(100, champion.served, canary.served), new PredictCounts(), clock);
  const byCanary = results.filter((result) => "answer" in result && result.answer.madeBy === MadeBy.CANARY).length;
  assert.ok(byCanary > 30 && byCanary < 70, `${byCanary} of 100`);
  assert.deepEqual([champion.asked, canary.asked], [[100 - byCanary], [byCanary]]);
});

test("what concerns one question is left to the chain: missing features, kept answers, an answer that is none", async () => {
  const champion = version(1);
  const all = questions(6, champion.served).map((question, place): Question => {
    if (place === 1) return { ...question, features: Float64Array.of(0.1, Number.NaN, 3) };
    if (place === 2) return { ...question, features: "not read" };
    if (place === 3) return { ...question, answers: new AnswerCache({ ttlMs: 1_000, maxEntries: 10 }, clock) };
    return place === 4 ? { ...question, features: Float64Array.of(1.5, 2, 3) } : question;
  });
  const results = await askTogether(all, new PredictCounts(), clock);
  assert.deepEqual(
    results.map((result) => "answer" in result),
    [true, false, false, false, false, true],
  );
  assert.deepEqual(champion.asked, [3]);
  const unbatched = version(1, undefined, 1);
  await askTogether(questions(3, unbatched.served), new PredictCounts(), clock);
  assert.deepEqual(unbatched.asked, []);
});

test("questions of a failed request go through the chain; where there is no more time, without asking the same again", async () => {
  const failed = version(1, new MillraceError("internal", "it broke"));
  const counts = new PredictCounts();
  const results = await askTogether(questions(4, failed.served), counts, clock);
  assert.deepEqual(
    results.map((result) => "question" in result && result.question.tried),
    [undefined, undefined, undefined, undefined],
  );
  const late = version(1, new MillraceError("deadline_exceeded", "too slow"));
  for (const result of await askTogether(questions(4, late.served), counts, clock)) {
    assert.ok("question" in result);
    assert.equal(result.question.tried?.served, late.served);
    assert.match(result.question.tried.reason, /too slow/);
  }
});

test("a version whose breaker opens is not asked any more", async () => {
  const failed = version(1, new MillraceError("internal", "it broke"), 2);
  await askTogether(questions(20, failed.served), new PredictCounts(), clock);
  assert.equal(failed.served.breaker.state(clock.now()), "open");
  const before = failed.asked.length;
  await askTogether(questions(20, failed.served), new PredictCounts(), clock);
  assert.equal(failed.asked.length, before);
});
