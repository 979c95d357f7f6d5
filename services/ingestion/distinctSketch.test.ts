import assert from "node:assert/strict";
import { test } from "node:test";
import { DistinctSketch } from "./distinctSketch.ts";

const sketchOf = (texts: Iterable<string>): DistinctSketch => {
  const sketch = new DistinctSketch();
  for (const text of texts) sketch.addText(text);
  return sketch;
};

const ids = (seed: number, count: number): string[] => Array.from({ length: count }, (_, index) => `${seed}/${index}`);

/** Relative errors over many sets of so many values. */
function errorsOf(sets: number, distinct: number, add: (sketch: DistinctSketch, seed: number, index: number) => void) {
  const errors = Array.from({ length: sets }, (_, seed) => {
    const sketch = new DistinctSketch();
    for (let index = 0; index < distinct; index += 1) add(sketch, seed, index);
    return sketch.estimate() / distinct - 1;
  });
  const meanSquare = errors.reduce((sum, error) => sum + error ** 2, 0) / sets;
  const bias = errors.reduce((sum, error) => sum + error, 0) / sets;
  return { root: Math.sqrt(meanSquare), bias, largest: Math.max(...errors.map(Math.abs)) };
}

const KINDS: Record<string, (sketch: DistinctSketch, seed: number, index: number) => void> = {
  "texts that count up": (sketch, seed, index) => sketch.addText(`flight-${seed}-${index}`),
  "whole numbers": (sketch, seed, index) => sketch.addNumber(seed * 1_000_003 + index),
  fractions: (sketch, seed, index) => sketch.addNumber((seed + 1) / (index + 1)),
  integers: (sketch, seed, index) => sketch.addInteger(BigInt(seed) * 100_000_007n - BigInt(index)),
};

for (const [kind, add] of Object.entries(KINDS)) {
  test(`the number of different ${kind} is estimated within the stated error`, () => {
    for (const [distinct, sets] of [
      [100, 200],
      [1_000, 200],
      [3_000, 200],
      [50_000, 60],
    ] as const) {
      const { root, bias, largest } = errorsOf(sets, distinct, add);
      // The standard error of a standard error over 60 sets is 9 % of it; four of them, and four standard errors for the largest.
      assert.ok(root < 0.0325 * 1.37, `${distinct}: root mean square ${root}`);
      assert.ok(Math.abs(bias) < (4 * 0.0325) / Math.sqrt(sets), `${distinct}: bias ${bias}`);
      assert.ok(largest < 4.5 * 0.0325, `${distinct}: largest ${largest}`);
    }
  });
}

test("a few different values are counted mostly exactly, however often each came", () => {
  let exact = 0;
  for (let seed = 0; seed < 400; seed += 1) {
    const distinct = seed % 20;
    const texts = ids(seed, distinct);
    if (Math.round(sketchOf([...texts, ...texts, ...texts]).estimate()) === distinct) exact += 1;
  }
  assert.ok(exact >= 360, `${exact} of 400`);
  assert.equal(new DistinctSketch().estimate(), 0);
});

test("a sketch depends neither on order nor on how its values were split, and comes back from its bytes", () => {
  const texts = ids(7, 2_000);
  const whole = sketchOf(texts).encode();
  assert.deepEqual(sketchOf(texts.toReversed()).encode(), whole);
  const merged = new DistinctSketch();
  for (const part of [texts.slice(0, 10), texts.slice(5, 300), texts.slice(200)]) {
    merged.mergeEncoded(sketchOf(part).encode());
  }
  assert.deepEqual(merged.encode(), whole);
  const direct = sketchOf(texts.slice(0, 900));
  direct.merge(sketchOf(texts.slice(800)));
  assert.deepEqual(direct.encode(), whole);
  assert.equal(merged.estimate(), sketchOf(texts).estimate());
});

test("bytes that are no sketch are refused", () => {
  const wrong = [new Uint8Array(3), new Uint8Array(1_026), Uint8Array.of(0, 0x3f), new Uint8Array(1_024).fill(56)];
  for (const bytes of wrong) assert.throws(() => new DistinctSketch().mergeEncoded(bytes), RangeError);
});

test("the hash stays as it is, since sketches of different processes and years are merged", () => {
  const sketch = new DistinctSketch();
  sketch.addText("JFK");
  sketch.addNumber(2_586);
  sketch.addInteger(-1n);
  sketch.addNumber(-0);
  sketch.addNumber(0);
  assert.equal(Buffer.from(sketch.encode()).toString("hex"), "0841208227c1ff84");
});

test("a text's length is in characters", () => {
  const sketch = new DistinctSketch();
  assert.deepEqual(
    ["", "JFK", "Zürich", "😀 ok"].map((text) => sketch.addText(text)),
    [0, 3, 6, 4],
  );
});
