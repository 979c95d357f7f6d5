import assert from "node:assert/strict";
import { test } from "node:test";
import { WatchCoherence } from "./watchCoherence.ts";

/** Writes at random, keeps one value per key, and reads behind the writer, as a slow watch of a bucket does. */
function slowWatch(seed: number): { wrong: number; told: number; believedWithoutHoles: number } {
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const keys = 5;
  const stored = new Map<number, { key: number; round: number }>();
  const revisionOf = new Map<number, number>();
  const seen = new Map<number, number>();
  const coherence = new WatchCoherence();
  const result = { wrong: 0, told: 0, believedWithoutHoles: 0 };
  let revision = 0;
  let round = 1;
  let nextKey = 0;
  let read = 0;
  for (let step = 0; step < 3_000; step += 1) {
    if (random(2) === 0) {
      // Key `keys` is the watermark: written after the entities of its round.
      revision += 1;
      stored.delete(revisionOf.get(nextKey) ?? 0);
      stored.set(revision, { key: nextKey, round });
      revisionOf.set(nextKey, revision);
      if (nextKey === keys) round += 1;
      nextKey = (nextKey + 1) % (keys + 1);
    } else {
      const next = [...stored.keys()].find((one) => one > read);
      if (next === undefined) continue;
      const entry = stored.get(next) as { key: number; round: number };
      read = next;
      seen.set(entry.key, entry.round);
      coherence.take(next);
      const watermark = seen.get(keys);
      if (watermark === undefined) continue;
      const missing = Array.from({ length: keys }, (_, key) => seen.get(key) ?? 0).some((known) => known < watermark);
      if (missing) result.believedWithoutHoles += 1;
      if (coherence.coherent && missing) result.wrong += 1;
      if (coherence.coherent) result.told += 1;
    }
    if (coherence.open && random(4) === 0) coherence.close(coherence.holes, revision);
  }
  return result;
}

test("a coherent watch has everything that was written before any entry which it has; without the holes it would be wrong", () => {
  let wrongBefore = 0;
  for (let seed = 1; seed <= 200; seed += 1) {
    const { wrong, told, believedWithoutHoles } = slowWatch(seed);
    assert.equal(wrong, 0, `seed ${seed}`);
    assert.ok(told > 0, `seed ${seed}: was never coherent`);
    wrongBefore += believedWithoutHoles;
  }
  assert.ok(wrongBefore > 0);
});

test("an answer that was asked for before the newest hole closes nothing", () => {
  const coherence = new WatchCoherence();
  coherence.take(3);
  const asked = coherence.holes;
  coherence.take(7);
  coherence.close(asked, 7);
  assert.equal(coherence.coherent, false);
  coherence.close(coherence.holes, 9);
  assert.equal(coherence.coherent, false);
  coherence.take(8);
  assert.equal(coherence.coherent, false);
  coherence.take(9);
  assert.equal(coherence.coherent, true);
});

test("a watch from the first revision on without a hole is coherent all the time", () => {
  const coherence = new WatchCoherence();
  for (const revision of [1, 2, 3]) {
    coherence.take(revision);
    assert.equal(coherence.coherent, true);
  }
});
