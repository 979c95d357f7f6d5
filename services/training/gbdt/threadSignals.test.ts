import assert from "node:assert/strict";
import { test } from "node:test";
import { ThreadSignals } from "./threadSignals.ts";

test("what one thread is given the others read, and they are waited for until the last is done", () => {
  const own = ThreadSignals.make(4);
  const [one, other] = [new ThreadSignals(own.memory), new ThreadSignals(own.memory)];
  const tasks = [
    { slot: 1, begin: 0, end: 70_000 },
    { slot: 3, begin: 70_000, end: 1_000_000 },
  ];
  for (const given of [tasks, tasks.slice(1)]) {
    own.begin(given);
    assert.deepEqual(one.next(), given);
    assert.deepEqual(other.next(), given);
    one.done();
    assert.equal(own.waitForAll(2, 1), false, "one is still at work");
    other.done();
    assert.equal(own.waitForAll(2, 1), true);
  }
  own.end();
  assert.equal(one.next(), undefined);
});

test("without other threads nothing is waited for", () => {
  assert.equal(ThreadSignals.make(1).waitForAll(0, 1), true);
});
