import assert from "node:assert/strict";
import { test } from "node:test";
import { delayBin, delayQuantile } from "./delaySketch.ts";

test("any quantile of ten thousand delays is told within 2 % from a few hundred counts", () => {
  // From a second to a month, as different as delays are: a fixed sequence whose logarithms are spread evenly.
  const delays = Array.from({ length: 10_000 }, (_, index) => 1_000 * 2.6e6 ** (((index * 7_919) % 10_000) / 10_000));
  const counts = new Map<number, number>();
  for (const delay of delays) counts.set(delayBin(delay), (counts.get(delayBin(delay)) ?? 0) + 1);
  assert.ok(counts.size <= 561);
  const sorted = delays.toSorted((a, b) => a - b);
  for (const share of [0.05, 0.5, 0.9, 0.99, 1]) {
    const exact = sorted[Math.ceil(share * sorted.length) - 1] as number;
    const told = delayQuantile(counts, share) ?? Number.NaN;
    assert.ok(Math.abs(told / exact - 1) <= 0.02, `${share}: ${told} for ${exact}`);
  }
});

test("labels that were there already have no delay, and without labels there is no quantile", () => {
  assert.equal(delayQuantile(new Map([[delayBin(0), 3]]), 0.5), 0);
  assert.equal(delayQuantile(new Map(), 0.5), undefined);
  assert.equal(delayBin(1e15), 560);
});
