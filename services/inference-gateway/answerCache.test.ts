import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "@millrace/runtime";
import { AnswerCache, answerKey } from "./answerCache.ts";

const NEVER = new AbortController().signal;
const LATER = 1_000_000;

/** A cache, its time, and a model whose runs end when the test says so. */
function make(ttlMs = 100, maxEntries = 1_000) {
  const time = { now: 0 };
  const cache = new AnswerCache({ ttlMs, maxEntries }, { now: () => time.now });
  const runs: PromiseWithResolvers<number>[] = [];
  const run = (): Promise<number> => {
    const started = Promise.withResolvers<number>();
    runs.push(started);
    return started.promise;
  };
  return { cache, time, runs, run };
}

test("the same question is answered from what is kept until its time is over", async () => {
  const { cache, time, runs, run } = make(100);
  const first = cache.get("a", run, LATER, NEVER);
  runs[0]?.resolve(0.7);
  assert.deepEqual(await first, { answer: 0.7, origin: "run" });
  time.now = 99;
  assert.deepEqual(await cache.get("a", run, LATER, NEVER), { answer: 0.7, origin: "kept" });
  time.now = 100;
  const again = cache.get("a", run, LATER, NEVER);
  runs[1]?.resolve(0.8);
  assert.deepEqual(await again, { answer: 0.8, origin: "run" });
});

test("a hundred equal questions at once make one run", async () => {
  const { cache, runs, run } = make();
  const answers = Array.from({ length: 100 }, () => cache.get("a", run, LATER, NEVER));
  runs[0]?.resolve(0.5);
  const origins = (await Promise.all(answers)).map(({ origin }) => origin);
  assert.equal(runs.length, 1);
  assert.deepEqual([origins[0], new Set(origins.slice(1))], ["run", new Set(["joined"])]);
});

test("a model's failure is every waiting question's, and is not kept", async () => {
  const { cache, runs, run } = make();
  const answers = [1, 2, 3].map(() => cache.get("a", run, LATER, NEVER));
  const ended = Promise.allSettled(answers);
  runs[0]?.reject(new MillraceError("internal", "broken"));
  for (const result of await ended) assert.equal(result.status, "rejected");
  const next = cache.get("a", run, LATER, NEVER);
  assert.equal(runs.length, 2);
  runs[1]?.resolve(0.5);
  assert.equal((await next).origin, "run");
});

test("when the one who asked leaves, one of those who waited asks for all of them", async () => {
  for (const code of ["cancelled", "deadline_exceeded", "resource_exhausted"] as const) {
    const { cache, runs, run } = make();
    const leader = cache.get("a", run, LATER, NEVER);
    const others = [1, 2, 3].map(() => cache.get("a", run, LATER, NEVER));
    runs[0]?.reject(new MillraceError(code, "its own matter"));
    await assert.rejects(leader, { code });
    while (runs.length < 2) await Promise.resolve();
    runs[1]?.resolve(0.5);
    assert.deepEqual((await Promise.all(others)).map(({ origin }) => origin).sort(), ["joined", "joined", "run"]);
    assert.equal(runs.length, 2);
  }
});

test("who waits for another's run leaves at its own deadline, or when its caller goes", async () => {
  const { cache, time, run } = make();
  void cache.get("a", run, LATER, NEVER);
  time.now = 10;
  await assert.rejects(cache.get("a", run, 15, NEVER), { code: "deadline_exceeded" });
  const caller = new AbortController();
  const gone = cache.get("a", run, LATER, caller.signal);
  caller.abort();
  await assert.rejects(gone, { code: "cancelled" });
});

test("never more than so many answers are kept: the oldest go, and those whose time is over", async () => {
  const { cache, time } = make(100, 10);
  for (let index = 0; index < 1_000; index += 1) {
    await cache.get(`${index}`, () => Promise.resolve(0.5), LATER, NEVER);
    assert.ok(cache.size <= 10);
  }
  const origin = async (key: string) => (await cache.get(key, () => Promise.resolve(0.5), LATER, NEVER)).origin;
  assert.equal(await origin("999"), "kept");
  assert.equal(await origin("989"), "run");
  time.now = 1_000;
  assert.equal(await origin("another"), "run");
  assert.equal(cache.size, 1);
});

test("only the same version and the same bits have the same key", () => {
  const key = (...values: number[]) => answerKey("flights/1", Float64Array.from(values));
  assert.equal(key(1, Number.NaN), key(1, Number.NaN));
  const others = [key(1, 2), key(1, 2 + Number.EPSILON * 2), key(2, 1), key(0, 2), key(-0, 2), key(1)];
  assert.equal(new Set(others).size, others.length);
  assert.notEqual(answerKey("flights/2", Float64Array.of(1, 2)), key(1, 2));
});
