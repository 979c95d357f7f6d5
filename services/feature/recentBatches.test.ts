import assert from "node:assert/strict";
import { test } from "node:test";
import { RecentBatches } from "./recentBatches.ts";

test("a batch is new once, whatever came between", () => {
  const recent = new RecentBatches();
  assert.deepEqual(
    [5n, 9n, 5n, 7n, 7n, 9n].map((first) => recent.add(first)),
    [true, true, false, true, false, false],
  );
});

test("a batch older than any that is remembered counts as known, also after a restart", () => {
  const recent = new RecentBatches([], 3);
  for (const first of [2n, 4n, 6n, 8n, 10n]) recent.add(first);
  assert.deepEqual(recent.all, [6n, 8n, 10n]);
  const restored = new RecentBatches(recent.all, 3);
  for (const one of [recent, restored]) {
    assert.equal(one.add(4n), false);
    assert.equal(one.add(8n), false);
    assert.equal(one.add(12n), true);
  }
});
