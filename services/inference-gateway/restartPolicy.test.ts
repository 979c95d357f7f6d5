import assert from "node:assert/strict";
import { test } from "node:test";
import { RestartPolicy } from "./restartPolicy.ts";

test("a process that keeps ending is started again after twice as long each time, and in the end not any more", () => {
  const policy = new RestartPolicy();
  const delays = Array.from({ length: 6 }, () => policy.delayMs(1_000));
  assert.deepEqual(delays, [500, 1_000, 2_000, 4_000, 8_000, undefined]);
});

test("a process that ran for a minute starts with a clean record", () => {
  const policy = new RestartPolicy();
  for (let end = 0; end < 5; end += 1) policy.delayMs(1_000);
  assert.equal(policy.delayMs(60_000), 500);
  assert.equal(policy.delayMs(1_000), 1_000);
});
