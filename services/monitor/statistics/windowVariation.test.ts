import assert from "node:assert/strict";
import { test } from "node:test";
import { twoSampleChiSquare } from "./binnedDistances.ts";
import { largerThanUsual, type Observation, WindowVariation } from "./windowVariation.ts";

/** Normally distributed numbers that depend on the seed alone (Box and Muller). */
function normalNumbers(seed: number): () => number {
  let state = seed;
  const uniform = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  for (let warm = 0; warm < 10; warm += 1) uniform();
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

const BINS = 8;

/** A window of so many rows whose bins swing together, by so much, and a little by themselves. */
function makeWindow(normal: () => number, rows: number, swing: number): { counts: number[]; missing: number } {
  const common = normal() * swing;
  const weights = Array.from({ length: BINS }, (_, bin) =>
    Math.exp(common * (bin / (BINS - 1) - 0.5) + 0.05 * swing * normal()),
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const counts = weights.map((weight) => {
    const mean = (rows * weight) / total;
    return Math.max(Math.round(mean + Math.sqrt(mean) * normal()), 0);
  });
  return { counts, missing: Math.max(Math.round(rows * (0.05 + 0.02 * swing * normal())), 0) };
}

/** Share of windows like those of the reference that are called unusual at some level. */
function falseShare(
  level: number,
  referenceWindows: number,
  swing: number,
  what: "shift" | "missing" | "rows",
): number {
  let [called, all] = [0, 0];
  for (let seed = 1; seed <= 30; seed += 1) {
    const normal = normalNumbers(seed * 7_919);
    const windows = Array.from({ length: referenceWindows }, () => makeWindow(normal, 1_000, swing));
    const sums = Array.from({ length: BINS }, (_, bin) =>
      windows.reduce((sum, { counts }) => sum + (counts[bin] as number), 0),
    );
    const variation = WindowVariation.of(windows);
    assert.ok(variation);
    for (let index = 0; index < 40; index += 1) {
      const window = makeWindow(normal, 1_000, swing);
      const p = {
        shift: () => variation.shiftP(window.counts),
        missing: () => variation.missingP(window),
        rows: () => twoSampleChiSquare(window.counts, sums),
      }[what]();
      all += 1;
      if (p <= level) called += 1;
    }
  }
  return called / all;
}

test("windows whose rows move together are called unusual no more often than said, however few the windows of the reference", () => {
  for (const windows of [3, 6, 20]) {
    for (const swing of [0, 1]) {
      for (const what of ["shift", "missing"] as const) {
        const share = falseShare(0.05, windows, swing, what);
        assert.ok(share < 0.08, `${what}, ${windows} windows, swing ${swing}: ${share}`);
      }
    }
  }
  // A test that takes rows for independent calls most of them unusual.
  assert.ok(falseShare(0.05, 20, 1, "rows") > 0.8);
});

test("a shift across the way in which windows swing is found, though it is smaller than their swings", () => {
  const normal = normalNumbers(42);
  const variation = WindowVariation.of(Array.from({ length: 14 }, () => makeWindow(normal, 1_000, 1)));
  const usual = makeWindow(normal, 1_000, 1);
  // From the middle to both ends; swings go from one end to the other.
  const moved = usual.counts.map((count, bin) => Math.round(count * (bin === 0 || bin === BINS - 1 ? 2 : 0.67)));
  assert.ok((variation?.shiftP(usual.counts) ?? 0) > 0.05);
  assert.ok((variation?.shiftP(moved) ?? 1) < 0.01);
});

test("a window of few rows has to differ by more", () => {
  const normal = normalNumbers(5);
  const variation = WindowVariation.of(Array.from({ length: 14 }, () => makeWindow(normal, 1_000, 0)));
  const moved = (rows: number): number[] =>
    Array.from({ length: BINS }, (_, bin) => Math.round((rows / BINS) * (bin < 2 ? 0.5 : 7 / 6)));
  assert.ok((variation?.shiftP(moved(1_000)) ?? 1) < 1e-3);
  assert.ok((variation?.shiftP(moved(40)) ?? 0) > 0.05);
});

test("of fewer than three windows nobody can tell how much windows differ", () => {
  const normal = normalNumbers(1);
  const few = Array.from({ length: 2 }, () => makeWindow(normal, 1_000, 1));
  assert.equal(WindowVariation.of(few), undefined);
  assert.equal(WindowVariation.of([...few, { counts: Array.from({ length: BINS }, () => 0), missing: 5 }]), undefined);
  assert.ok(Number.isNaN(largerThanUsual({ value: 1, variance: 0 }, [{ value: 0, variance: 0 }])));
});

test("a value is compared with the usual ones by their spread and by its own chance", () => {
  const usual: Observation[] = [-2, -1, 0, 1, 2].map((value) => ({ value, variance: 0 }));
  // Student's prediction interval: 3 / sqrt(2.5 (1 + 1/5)) = 1.732 on four degrees of freedom.
  assert.ok(Math.abs(largerThanUsual({ value: 3, variance: 0 }, usual) - 0.0791) < 1e-3);
  assert.ok(largerThanUsual({ value: 3, variance: 9 }, usual) > 0.2);
  // Usual values that differ by no more than chance makes them have no spread of their own.
  const steady = usual.map(({ value }) => ({ value, variance: 10 }));
  assert.ok(largerThanUsual({ value: 3, variance: 0.1 }, steady) < largerThanUsual({ value: 3, variance: 9 }, steady));
});
