import assert from "node:assert/strict";
import { test } from "node:test";
import { binsOf } from "./distribution.ts";
import { type ColumnSketch, columnDistance } from "./distributionDistance.ts";
import { randomNumbers } from "./randomForTests.ts";

function sketch(rows: number, value: (random: () => number, row: number) => number, seed = 1): ColumnSketch {
  const random = randomNumbers(seed);
  const values = Float64Array.from({ length: rows }, (_, row) => value(random, row));
  const present = values.filter((one) => !Number.isNaN(one)).sort();
  const mean = present.reduce((sum, one) => sum + one, 0) / present.length;
  return { bins: binsOf(present), missingShare: 1 - present.length / rows, mean };
}

const distance = (left: ColumnSketch, right: ColumnSketch) => columnDistance("x", left, right);

test("a distribution does not differ from itself, nor two samples of one from each other", () => {
  const one = sketch(20_000, (random) => random());
  assert.ok(distance(one, one).psi < 1e-12 && distance(one, one).ks === 0);
  const { psi, psiByChance, ks, differs } = distance(
    one,
    sketch(20_000, (random) => random(), 99),
  );
  assert.ok(psi < psiByChance && psi < 0.01 && ks < 0.02, `PSI ${psi}, by chance ${psiByChance}, KS ${ks}`);
  assert.equal(differs, false);
});

test("PSI and KS are those of the definitions, for continuous values", () => {
  // On the right seven tenths of the rows lie in the lower half.
  const even = (_: unknown, row: number): number => (row + 0.5) / 50_000;
  const { psi, ks, differs } = distance(
    sketch(50_000, even),
    sketch(50_000, (_, row) => (row < 35_000 ? even(0, row) / 1.4 : 0.5 + (even(0, row) - 0.7) / 0.6)),
  );
  assert.ok(Math.abs(ks - 0.2) < 0.005, `${ks}`);
  // 0.2 ln(0.7 / 0.5) - 0.2 ln(0.3 / 0.5)
  assert.ok(Math.abs(psi - 0.1695) < 0.01, `${psi}`);
  assert.equal(differs, true);
});

test("values of which there are few are compared one by one", () => {
  const weekday = (weekend: number) => sketch(70_000, (_, row) => (row % 100 < weekend ? 6 : row % 6));
  const { psi, ks } = distance(weekday(10), weekday(30));
  assert.ok(Math.abs(ks - 0.2) < 0.005, `${ks}`);
  // 0.2 ln(0.3 / 0.1) - 0.2 ln(0.7 / 0.9), over the values 0 to 5 together
  assert.ok(Math.abs(psi - 0.27) < 0.01, `${psi}`);
});

test("a few rows do not differ by chance", () => {
  const many = sketch(50_000, (random) => random());
  for (const seed of [2, 3, 4, 5, 6, 7, 8]) {
    const { psi, differs } = distance(
      many,
      sketch(60, (random) => random(), seed * 7_919),
    );
    assert.equal(differs, false, `PSI ${psi}`);
  }
});

test("a constant that becomes another one differs as much as can be", () => {
  const { ks, differs } = distance(
    sketch(1_000, () => 5),
    sketch(1_000, () => 6),
  );
  assert.deepEqual([ks, differs], [1, true]);
  assert.equal(
    distance(
      sketch(1_000, () => 5),
      sketch(900, () => 5),
    ).differs,
    false,
  );
});

test("values that are missing on one side differ, and a side without values has no distance", () => {
  const half = sketch(4_000, (random, row) => (row % 2 === 0 ? Number.NaN : random()));
  const full = sketch(4_000, (random) => random());
  assert.equal(distance(full, half).differs, true);
  assert.ok(Math.abs(distance(full, half).ks) < 0.05);
  const none = sketch(1_000, () => Number.NaN);
  assert.ok(Number.isNaN(distance(full, none).psi));
  assert.equal(distance(full, none).differs, true);
});
