import assert from "node:assert/strict";
import { test } from "node:test";
import { DeadlineQueue, type Due } from "./deadlineQueue.ts";
import { randomNumbers } from "./randomNumbers.ts";

test("whatever is pushed, settled and asked for, exactly those that wait come out at their deadline, earliest first", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const random = randomNumbers(seed);
    const queue = new DeadlineQueue<Due>();
    const waiting = new Set<Due>();
    let now = 0;
    for (let step = 0; step < 300; step += 1) {
      const what = random();
      if (what < 0.5) {
        const entry = { deadline: now + Math.floor(random() * 50), settled: false };
        queue.push(entry);
        waiting.add(entry);
      } else if (what < 0.85) {
        const entry = [...waiting][Math.floor(random() * waiting.size)];
        if (entry === undefined) continue;
        queue.settle(entry);
        waiting.delete(entry);
      } else {
        now += Math.floor(random() * 30);
        const expected = [...waiting].filter(({ deadline }) => deadline <= now).map(({ deadline }) => deadline);
        assert.deepEqual(
          queue.due(now).map(({ deadline }) => deadline),
          expected.sort((a, b) => a - b),
        );
        for (const entry of waiting) if (entry.settled) waiting.delete(entry);
      }
      assert.equal(queue.size, waiting.size);
      const earliest = waiting.size === 0 ? undefined : Math.min(...[...waiting].map(({ deadline }) => deadline));
      assert.equal(queue.next(), earliest);
    }
  }
});
