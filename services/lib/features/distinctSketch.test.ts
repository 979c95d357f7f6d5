import assert from "node:assert/strict";
import { test } from "node:test";
import { randomNumbers } from "./appForTests.ts";
import { DistinctSketch, EXACT_VALUES, REGISTERS } from "./distinctSketch.ts";
import { DistinctWindow } from "./distinctWindow.ts";
import { hashDouble, hashInteger, hashText } from "./valueHash.ts";

/** Values as applications have them: in a row, with common beginnings, padded, far apart. */
const VALUES: Readonly<Record<string, (seed: number, index: number) => number>> = {
  "texts with a common beginning": (seed, index) => hashText(`user-${seed}-${index}`),
  "padded numbers as texts": (seed, index) => hashText(String(seed * 10_000_000 + index).padStart(14, "0")),
  "whole numbers in a row": (seed, index) => hashInteger(BigInt(seed * 10_000_000 + index)),
  "identifiers beyond 2^53": (seed, index) => hashInteger((BigInt(seed) << 54n) + BigInt(index)),
  "doubles in steps": (seed, index) => hashDouble(seed * 100_000 + index / 8),
  "minutes, in milliseconds": (seed, index) => hashDouble(978_307_200_000 + seed * 10 ** 10 + index * 60_000),
};

function sketchOf(hashes: Iterable<number>): DistinctSketch {
  const sketch = new DistinctSketch();
  for (const hash of hashes) sketch.add(hash);
  return sketch;
}

const hashes = (kind: string, seed: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => VALUES[kind]?.(seed, index) as number);

const hex = (sketch: DistinctSketch): string => Buffer.from(sketch.encode()).toString("hex");

test("up to 128 distinct values are counted exactly", () => {
  for (const kind of Object.keys(VALUES)) {
    for (let count = 0; count <= EXACT_VALUES; count += 1) {
      const once = hashes(kind, count, count);
      assert.equal(sketchOf([...once, ...once.toReversed()]).estimate(), count, `${count} ${kind}`);
    }
  }
});

test("beyond that the count is off by less than 6.5 % in 95 of 100 cases, and not to one side", () => {
  for (const [count, seeds] of [
    [129, 50],
    [300, 100],
    [1_000, 100],
    [5_000, 100],
    [15_000, 100],
  ] as const) {
    let within = 0;
    let sum = 0;
    for (const kind of Object.keys(VALUES)) {
      for (let seed = 1; seed <= seeds; seed += 1) {
        const error = sketchOf(hashes(kind, seed, count)).estimate() / count - 1;
        sum += error;
        if (Math.abs(error) < 0.065) within += 1;
        assert.ok(Math.abs(error) < 0.16, `seed ${seed}, ${count} ${kind}: off by ${error}`);
      }
    }
    const cases = seeds * Object.keys(VALUES).length;
    assert.ok(within / cases >= 0.95, `${count} values: ${within} of ${cases} cases within 6.5 %`);
    assert.ok(Math.abs(sum / cases) < 0.01, `${count} values: off by ${sum / cases} on average`);
  }
});

test("what a sketch holds does not depend on the order of values, their repetition, or how they were spread over sketches", () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const random = randomNumbers(seed);
    const all = hashes("texts with a common beginning", seed, Math.floor(random() * 400));
    const expected = sketchOf(all);
    const parts = Array.from({ length: 5 }, () => new DistinctSketch());
    for (const hash of all) {
      for (let times = 1 + Math.floor(random() * 3); times > 0; times -= 1) {
        parts[Math.floor(random() * parts.length)]?.add(hash);
      }
    }
    const merged = new DistinctSketch();
    for (const part of parts.toSorted(() => random() - 0.5)) merged.merge(part);
    const window = new DistinctWindow();
    for (const sketches of [parts, parts.toReversed(), [expected], [merged, ...parts]]) {
      assert.equal(
        window.estimate(sketches, 0, sketches.length, () => true),
        expected.estimate(),
        `seed ${seed}`,
      );
    }
    const mixed = sketchOf(all.toSorted(() => random() - 0.5));
    for (const sketch of [merged, mixed]) {
      assert.equal(hex(sketch), hex(expected), `seed ${seed}`);
      assert.equal(sketch.estimate(), expected.estimate(), `seed ${seed}`);
    }
  }
});

test("an encoded sketch comes back the same, and bytes that are none are told", () => {
  for (const count of [0, 1, EXACT_VALUES, EXACT_VALUES + 1, 5_000]) {
    const sketch = sketchOf(hashes("doubles in steps", 1, count));
    const decoded = DistinctSketch.decode(sketch.encode());
    assert.ok(decoded);
    assert.equal(hex(decoded), hex(sketch));
    decoded.add(hashText("one more"));
    sketch.add(hashText("one more"));
    assert.equal(decoded.estimate(), sketch.estimate());
  }
  const descending = Buffer.from("020000000000010000000000", "hex");
  for (const bytes of [new Uint8Array(5), descending, new Uint8Array(REGISTERS).fill(34), new Uint8Array(774)]) {
    assert.equal(DistinctSketch.decode(bytes), undefined);
  }
});

test("hashes are those that stored tiles hold, and tell close values apart", () => {
  assert.deepEqual(
    [hashText(""), hashText("ORD"), hashDouble(0), hashDouble(1.5), hashInteger(-1n)],
    [279_436_612_312_328, 54_579_824_576_692, 121_768_949_612_137, 243_608_478_551_227, 18_090_328_654_231],
  );
  assert.equal(hashDouble(-0), hashDouble(0));
  const close = ["", "\u0000", "\u0000\u0000", "a", "b", "ab", "ba", "é", "e\u0301"].map(hashText);
  const numbers = [0n, 1n, -1n, 2n ** 53n, 2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n].map(hashInteger);
  assert.equal(new Set([...close, ...numbers]).size, close.length + numbers.length);
});
