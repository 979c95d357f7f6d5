import assert from "node:assert/strict";
import { test } from "node:test";
import { binsOf } from "./distribution.ts";
import { labelSignal } from "./labelSignal.ts";
import { randomNumbers } from "./randomForTests.ts";

const ROWS = 4_000;

function signalOf(value: (label: number, random: () => number) => number, rows = ROWS, unlabelled = 0) {
  const random = randomNumbers(7);
  const labels = Float64Array.from({ length: rows }, () =>
    random() < unlabelled ? Number.NaN : Number(random() < 0.2),
  );
  const values = labels.map((label) => value(label, random));
  return labelSignal(values, labels, binsOf(values.filter((one) => !Number.isNaN(one)).sort()));
}

test("noise tells nothing about the label, however few rows there are", () => {
  for (const rows of [100, 400, 4_000]) {
    const { auc } = signalOf((_, random) => random(), rows);
    assert.ok(auc < 0.65, `${auc} with ${rows} rows`);
  }
  assert.ok(Math.abs(signalOf((_, random) => random()).auc - 0.5) < 0.03);
});

test("the label in disguise ranks all rows right", () => {
  assert.ok(signalOf((label, random) => label * 100 + random() * 50).auc > 0.99);
  assert.ok(signalOf((label, random) => -label + random() * 0.1, 200).auc > 0.95);
});

test("a dependence that is not monotone is seen", () => {
  const { auc } = signalOf((label, random) =>
    label === 1 ? 0.4 + random() * 0.2 : random() < 0.5 ? random() * 0.4 : 0.6 + random() * 0.4,
  );
  assert.ok(auc > 0.98, `${auc}`);
});

test("whether a value is missing can tell the label", () => {
  const { missingAuc, auc } = signalOf((label, random) => (label === 1 && random() < 0.9 ? Number.NaN : random()));
  assert.ok(Math.abs(missingAuc - 0.95) < 0.02, `${missingAuc}`);
  assert.ok(auc > 0.93);
  assert.ok(Math.abs(signalOf((_, random) => (random() < 0.3 ? Number.NaN : random())).missingAuc - 0.5) < 0.03);
});

test("a value that comes with the label is told by where it is missing", () => {
  const signal = signalOf((label, random) => (Number.isNaN(label) ? Number.NaN : random()), ROWS, 0.3);
  assert.equal(signal.missingWhenLabelled, 0);
  assert.equal(signal.missingWhenUnlabelled, 1);
});

test("without both classes there is no ranking", () => {
  assert.ok(
    Number.isNaN(
      labelSignal(Float64Array.of(1, 2, 3, 4), Float64Array.of(1, 1, 1, 1), binsOf(Float64Array.of(1, 2, 3, 4))).auc,
    ),
  );
});
