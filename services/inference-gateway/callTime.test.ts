import assert from "node:assert/strict";
import { test } from "node:test";
import { callTime } from "./callTime.ts";

test("a call has its own time, or the app's where it sets none, and never more than a minute", () => {
  const lengthOf = (leftMs: number): number => callTime(1_000, leftMs, 250).answerBy - 1_000;
  assert.equal(lengthOf(Infinity), 245);
  assert.equal(lengthOf(2_000), 1_995);
  assert.equal(lengthOf(10), 9);
  assert.equal(lengthOf(1e9), 59_995);
});

test("time is kept for storing and for the way back: more for a batch, and never most of it", () => {
  const storing = (leftMs: number, questions: number): number => {
    const { modelBy, answerBy } = callTime(0, leftMs, 250, questions);
    assert.ok(modelBy > 0 && modelBy < answerBy && answerBy < leftMs);
    return answerBy - modelBy;
  };
  assert.equal(storing(1_000, 1), 20);
  assert.equal(storing(40, 1), 10);
  assert.ok(storing(1_000, 1_000) > 150 && storing(1_000, 1_000) <= 200);
  assert.equal(storing(200, 1_000), 100);
});

test("only a single question with the app's time or more says something about a model that is late", () => {
  assert.equal(callTime(0, Infinity, 250).fair, true);
  assert.equal(callTime(0, 249, 250).fair, false);
  assert.equal(callTime(0, Infinity, 250, 2).fair, false);
});
