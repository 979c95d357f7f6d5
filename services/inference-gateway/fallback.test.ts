import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { Fallback } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { type ErrorCode, MillraceError } from "@millrace/runtime";
import { Breaker } from "./breaker.ts";
import { callTime } from "./callTime.ts";
import { askChain, type Question } from "./fallback.ts";
import { APP, FEATURES, type ServingSettings, testApp } from "./gatewayForTests.ts";
import type { Lane } from "./lane.ts";
import type { PendingRow } from "./laneRequest.ts";
import { PredictCounts } from "./metrics.ts";
import { compileApp } from "./servedApp.ts";
import type { ServedModel, Serving } from "./servedModel.ts";

const clock = { now: () => performance.now() };

/** A version that answers so, fails so, or does not answer before its deadline. */
function version(number: number, answer: number | ErrorCode | "never"): ServedModel & { readonly asked: number[] } {
  const asked: number[] = [];
  const submit = (_: unknown, by: number): PendingRow => {
    asked.push(by - clock.now());
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const name = `${APP}/${number}`;
    if (typeof answer === "number") resolve(answer);
    else if (answer !== "never") reject(new MillraceError(answer, `${name}: ${answer}`));
    else {
      const late = () => reject(new MillraceError("deadline_exceeded", `${name}: the model did not answer`));
      void delay(by - clock.now()).then(late);
    }
    const cancel = () => reject(new MillraceError("cancelled", "the caller has gone"));
    return {
      answer: promise,
      cancel,
      blame: { modelsFault: answer !== "resource_exhausted" && answer !== "cancelled" },
    };
  };
  const model = create(ModelVersionSchema, { app: APP, number, featureNames: FEATURES });
  return { version: `${APP}/${number}`, model, lane: { submit } as unknown as Lane, breaker: new Breaker(), asked };
}

interface Chain extends Partial<Omit<Serving, "canary">> {
  readonly canary?: ServedModel;
}

/** A question to the versions given, of a call that has 400 ms. */
function question({ canary, ...serving }: Chain, settings: ServingSettings = {}, budgetMs = 400): Question {
  const none = { champion: undefined, problem: "", previous: undefined, baseline: 0.25, shadow: undefined };
  return {
    app: compileApp(testApp(budgetMs, settings)),
    serving: { ...none, ...serving, canary: canary && { model: canary, percent: 100 } },
    features: Float64Array.of(1, 2, 3),
    canaryKey: "SFO",
    answers: undefined,
    time: callTime(clock.now(), Infinity, budgetMs),
    signal: new AbortController().signal,
    traceparent: "",
  };
}

const near = (actual: number | undefined, expected: number): void =>
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 40, `${actual} ms are not about ${expected} ms`);

test("the answer comes inside the deadline when every step is slow, and says why each of them did not answer", async () => {
  const counts = new PredictCounts();
  const steps = { canary: version(3, "never"), champion: version(2, "never"), previous: version(1, "never") };
  const asked = question(steps);
  const answer = await askChain(asked, counts, clock);
  const elapsed = clock.now() - asked.time.arrivedAt;
  assert.ok(elapsed < 400, `after ${elapsed} ms`);
  assert.equal(answer.madeBy, MadeBy.BASELINE);
  assert.equal(answer.answer, 0.25);
  for (const number of [1, 2, 3]) assert.match(answer.reason, new RegExp(`${APP}/${number}: the model did not answer`));
  for (const step of [MadeBy.CANARY, MadeBy.CHAMPION, MadeBy.PREVIOUS]) {
    assert.equal(counts.steps(step, "deadline_exceeded"), 1);
  }
  assert.equal(counts.steps(MadeBy.BASELINE, "answered"), 1);
  // 375 ms for models: 60 % of what is left for each but the last.
  near(steps.canary.asked[0], 225);
  near(steps.champion.asked[0], 90);
  near(steps.previous.asked[0], 60);
});

test("each step has the share of the time that the app gives it, and the next follows at once when it fails before", async () => {
  const budgets = { champion: 0.2, previous: 0.3 };
  const slow = { champion: version(2, "never"), previous: version(1, "never") };
  const asked = question(slow, { budgets });
  await askChain(asked, new PredictCounts(), clock);
  near(slow.champion.asked[0], 75);
  near(slow.previous.asked[0], 112);
  near(clock.now() - asked.time.arrivedAt, 187);
  const failing = { champion: version(2, "internal"), previous: version(1, 0.75) };
  const quick = question(failing, { budgets });
  const answer = await askChain(quick, new PredictCounts(), clock);
  near(clock.now() - quick.time.arrivedAt, 0);
  assert.deepEqual([answer.madeBy, answer.answer, answer.reason], [MadeBy.PREVIOUS, 0.75, `${APP}/2: internal`]);
});

test("a canary that is broken or overloaded is followed by the champion first", async () => {
  for (const broken of ["internal", "unavailable", "resource_exhausted"] as const) {
    const counts = new PredictCounts();
    const chain = { canary: version(3, broken), champion: version(2, 0.5), previous: version(1, 0.75) };
    const answer = await askChain(question(chain), counts, clock);
    assert.deepEqual([answer.madeBy, answer.modelVersion], [MadeBy.CHAMPION, `${APP}/2`]);
    assert.equal(answer.reason, `${APP}/3: ${broken}`);
    assert.equal(counts.steps(MadeBy.CANARY, broken), 1);
    assert.equal(counts.steps(MadeBy.CHAMPION, "answered"), 1);
    assert.deepEqual(chain.previous.asked, []);
  }
});

test("an open breaker costs no time, and the step behind it is counted as such", async () => {
  const counts = new PredictCounts();
  const champion = version(2, "internal");
  const chain = { champion, previous: version(1, 0.75) };
  for (let call = 0; call < 8; call += 1) await askChain(question(chain), counts, clock);
  assert.equal(champion.asked.length, 5);
  assert.equal(counts.steps(MadeBy.CHAMPION, "internal"), 5);
  assert.equal(counts.steps(MadeBy.CHAMPION, "breaker_open"), 3);
  assert.equal(counts.steps(MadeBy.PREVIOUS, "answered"), 8);
  const answer = await askChain(question(chain), counts, clock);
  assert.match(answer.reason, /flights\/2: its circuit breaker is open/);
});

test("an overload of the champion, and a caller who has gone, are no reason to fall back", async () => {
  for (const code of ["resource_exhausted", "cancelled"] as const) {
    const asked = question({ champion: version(2, code), previous: version(1, 0.75) });
    await assert.rejects(askChain(asked, new PredictCounts(), clock), { code });
  }
});

test("without BASELINE in the chain the constant answers", async () => {
  const settings = { fallback: [Fallback.CONSTANT] };
  const chain = { champion: version(2, "internal"), previous: version(1, 0.75) };
  const answer = await askChain(question(chain, settings), new PredictCounts(), clock);
  assert.deepEqual([answer.madeBy, answer.answer], [MadeBy.CONSTANT, 0.125]);
});

test("a model that is too slow for a caller in a hurry has not failed; one that is too slow for the app has", async () => {
  const hurried = version(2, "never");
  for (let call = 0; call < 8; call += 1) {
    const asked = question({ champion: hurried });
    await askChain({ ...asked, time: callTime(clock.now(), 5, 400) }, new PredictCounts(), clock);
  }
  assert.equal(hurried.breaker.state(clock.now()), "closed");
  const slow = version(2, "never");
  for (let call = 0; call < 8; call += 1)
    await askChain(question({ champion: slow }, {}, 10), new PredictCounts(), clock);
  assert.equal(slow.breaker.state(clock.now()), "open");
});
