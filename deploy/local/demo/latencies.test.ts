import assert from "node:assert/strict";
import { test } from "node:test";
import { Latencies } from "./latencies.ts";

test("a quantile is the smallest value that so many are not above", () => {
  const latencies = new Latencies();
  assert.ok(Number.isNaN(latencies.quantile(0.5)));
  // 1 to 2,000 in no order: more than fit in at first.
  for (let value = 0; value < 2_000; value += 1) latencies.add(((value * 7) % 2_000) + 1);
  assert.equal(latencies.count, 2_000);
  assert.deepEqual(
    [0, 0.5, 0.99, 1].map((share) => latencies.quantile(share)),
    [1, 1_000, 1_980, 2_000],
  );
});
