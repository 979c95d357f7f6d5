import assert from "node:assert/strict";
import { test } from "node:test";
import { inShare } from "./stableShare.ts";

const KEYS = Array.from({ length: 10_000 }, (_, index) => `customer-${index}`);

test("a share of 10,000 keys is within four standard deviations of the binomial distribution", () => {
  for (const percent of [0, 0.5, 5, 20, 50, 99, 100]) {
    const share = percent / 100;
    const chosen = KEYS.filter((key) => inShare("flights/2", key, percent)).length;
    const deviation = Math.sqrt(KEYS.length * share * (1 - share));
    assert.ok(Math.abs(chosen - KEYS.length * share) <= 4 * deviation, `${percent} % are ${chosen}`);
  }
});

test("a larger percentage only adds keys, and another salt takes others", () => {
  const at = (percent: number, salt = "flights/2") => new Set(KEYS.filter((key) => inShare(salt, key, percent)));
  assert.ok(at(5).isSubsetOf(at(6)));
  assert.ok(at(6).isSubsetOf(at(60)));
  assert.deepEqual(at(5), at(5));
  const both = at(50).intersection(at(50, "flights/3")).size;
  assert.ok(both > 2_300 && both < 2_700, `${both} of 10,000 are in both halves`);
});
