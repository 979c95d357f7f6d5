import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { populationStability } from "@millrace/metrics";
import {
  jensenShannon,
  kolmogorovSmirnov,
  kolmogorovSmirnovTail,
  twoSampleChiSquare,
  wasserstein,
} from "./binnedDistances.ts";
import { EstimateSketch } from "./estimateSketch.ts";
import { sampleKolmogorovSmirnov, sampleWasserstein } from "./sampleDistances.ts";
import { benjaminiHochberg, heldP, largerShare } from "./significance.ts";
import { chiSquareTail, kolmogorovTail, normalTail, studentTail } from "./specialFunctions.ts";
import { TruthSketch } from "./truthSketch.ts";

/** Made by reference/makeReference.py with SciPy, scikit-learn, Evidently and NannyML. */
const REFERENCE = JSON.parse(readFileSync(new URL("reference/reference.json", import.meta.url), "utf8")) as Reference;

interface Reference {
  readonly edges: number[];
  readonly first: number[];
  readonly second: number[];
  readonly countsFirst: number[];
  readonly countsSecond: number[];
  readonly psi: number;
  readonly jensenShannon: number;
  readonly kolmogorovSmirnov: number;
  readonly kolmogorovSmirnovP: number;
  readonly wasserstein: number;
  readonly standardDeviation: number;
  readonly chiSquareP: number;
  readonly largerShareP: number;
  readonly tails: Record<"chiSquare" | "student", [number, number, number][]> &
    Record<"normal" | "kolmogorov", [number, number][]> & { held: [number, number, number, number][] };
  readonly benjaminiHochberg: { pValues: number[]; adjusted: number[] };
  readonly truth: Record<"auc" | "logLoss" | "brier" | "rmse" | "mae", number> &
    Record<"probabilities" | "labels", number[]>;
  readonly estimate: { auc: number; accuracy: number };
  readonly evidently: { wasserstein: number; kolmogorovSmirnovP: number };
}

const EXACT = 1e-6;
const near = (actual: number, expected: number, tolerance: number, what = ""): void =>
  assert.ok(Math.abs(actual - expected) <= tolerance, `${what} ${actual} is not ${expected} (within ${tolerance})`);
const sorted = (values: readonly number[]): Float64Array => Float64Array.from(values).sort();

test("distances of counts are SciPy's", () => {
  const { countsFirst, countsSecond, psi, jensenShannon: js, chiSquareP } = REFERENCE;
  const rows = countsFirst.reduce((sum, count) => sum + count, 0);
  const shares = countsFirst.map((count) => count / rows);
  near(populationStability(Float64Array.from(countsSecond), shares), psi, EXACT);
  near(jensenShannon(countsSecond, shares), js, EXACT);
  near(twoSampleChiSquare(countsSecond, countsFirst), chiSquareP, EXACT);
  assert.equal(jensenShannon([1, 0], [0, 1]), 1);
  assert.equal(jensenShannon([2, 2], [1, 1]), 0);
});

test("exact distances of samples are SciPy's and Evidently's", () => {
  const [first, second] = [sorted(REFERENCE.first), sorted(REFERENCE.second)];
  const statistic = sampleKolmogorovSmirnov(first, second);
  near(statistic, REFERENCE.kolmogorovSmirnov, EXACT);
  near(kolmogorovSmirnovTail(statistic, first.length, second.length), REFERENCE.kolmogorovSmirnovP, EXACT);
  // Evidently takes SciPy's exact distribution; its limit is off by a tenth for some hundred rows.
  const { kolmogorovSmirnovP } = REFERENCE.evidently;
  near(REFERENCE.kolmogorovSmirnovP, kolmogorovSmirnovP, 0.1 * kolmogorovSmirnovP);
  near(sampleWasserstein(first, second), REFERENCE.wasserstein, EXACT);
  near(sampleWasserstein(first, second) / REFERENCE.standardDeviation, REFERENCE.evidently.wasserstein, EXACT);
});

test("distances of bins stay within their stated errors of those of the rows", () => {
  const { countsFirst, countsSecond, edges, first } = REFERENCE;
  const [minimum, maximum] = [Math.min(...first), Math.max(...first)];
  const shareOf = (counts: readonly number[], bin: number): number =>
    (counts[bin] as number) / counts.reduce((sum, count) => sum + count, 0);
  const largest = edges.map((_, bin) => Math.max(shareOf(countsFirst, bin), shareOf(countsSecond, bin)));
  const statistic = kolmogorovSmirnov(countsSecond, countsFirst);
  assert.ok(statistic <= REFERENCE.kolmogorovSmirnov + 1e-12);
  near(statistic, REFERENCE.kolmogorovSmirnov, Math.max(...largest));
  // The second sample reaches beyond the first, by which the bins end: that much cannot be seen.
  const beyond = REFERENCE.second.reduce((sum, value) => sum + Math.max(value - maximum, minimum - value, 0), 0);
  const distance = wasserstein(countsSecond, countsFirst, { edges, minimum, maximum });
  near(distance, REFERENCE.wasserstein, 0.02 + beyond / REFERENCE.second.length);
  near(wasserstein([10, 0], [0, 10], { edges: [5], minimum: 0, maximum: 10 }), 5, 1e-12);
});

test("tails of distributions are SciPy's, to ten digits and more", () => {
  const close = (actual: number, expected: number, what: string): void =>
    near(actual, expected, Math.abs(expected) * 1e-10 + 1e-300, what);
  const { chiSquare, normal, student, kolmogorov, held } = REFERENCE.tails;
  for (const [x, freedom, tail] of chiSquare) close(chiSquareTail(x, freedom), tail, `chi-square ${x}, ${freedom}:`);
  for (const [z, tail] of normal) close(normalTail(z), tail, `normal ${z}:`);
  for (const [t, freedom, tail] of student) close(studentTail(t, freedom), tail, `Student ${t}, ${freedom}:`);
  for (const [x, tail] of kolmogorov) close(kolmogorovTail(x), tail, `Kolmogorov ${x}:`);
  for (const [k, n, p, tail] of held) {
    const pValues = Array.from({ length: n }, (_, index) => (index < k ? p : 1));
    close(heldP(pValues, k), tail, `${k} of ${n} at ${p}:`);
  }
});

test("shares and many tests at once are judged as SciPy does", () => {
  near(largerShare(30, 200, 15, 200), REFERENCE.largerShareP, EXACT);
  const { pValues, adjusted } = REFERENCE.benjaminiHochberg;
  for (const rate of [0.005, 0.01, 0.03, 0.054, 0.06, 0.3]) {
    assert.deepEqual(
      benjaminiHochberg(pValues, rate),
      adjusted.map((p) => p <= rate),
    );
  }
});

test("live performance from sums is scikit-learn's", () => {
  const { probabilities, labels, auc, logLoss, brier, rmse, mae } = REFERENCE.truth;
  const sketch = new TruthSketch();
  probabilities.forEach((probability, row) => sketch.add(probability, labels[row] as number));
  near(sketch.logLoss, logLoss, EXACT);
  near(sketch.brier, brier, EXACT);
  near(sketch.rmse, rmse, EXACT);
  near(sketch.mae, mae, EXACT);
  // In bins of 0.005, some hundred rows.
  near(sketch.auc, auc, 2e-3);
  const mistakes = probabilities.filter((p, row) => (p < 0.1 && labels[row] === 1) || (p >= 0.9 && labels[row] === 0));
  near(sketch.confidentMistakes, mistakes.length / labels.length, EXACT);
});

test("performance estimated before there is truth is NannyML's", () => {
  const { probabilities } = REFERENCE.truth;
  const sketch = new EstimateSketch();
  for (const probability of probabilities) sketch.add(probability);
  near(sketch.accuracy.value, REFERENCE.estimate.accuracy, EXACT);
  near(sketch.auc.value, REFERENCE.estimate.auc, 2e-3);
});

test("the truth of a calibrated model lies in the estimated range in about 95 of 100 windows", () => {
  let state = 7;
  const random = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  const inside = { logLoss: 0, accuracy: 0, auc: 0 };
  const windows = 400;
  for (let window = 0; window < windows; window += 1) {
    const [estimate, truth] = [new EstimateSketch(), new TruthSketch()];
    let right = 0;
    for (let row = 0; row < 500; row += 1) {
      const probability = random() ** 2;
      const label = random() < probability ? 1 : 0;
      estimate.add(probability);
      truth.add(probability, label);
      if (probability >= 0.5 === (label === 1)) right += 1;
    }
    const actual = { logLoss: truth.logLoss, accuracy: right / 500, auc: truth.auc };
    for (const name of ["logLoss", "accuracy", "auc"] as const) {
      const { low, high } = estimate[name];
      if (actual[name] >= low && actual[name] <= high) inside[name] += 1;
    }
  }
  for (const [name, count] of Object.entries(inside)) {
    const share = count / windows;
    assert.ok(share > 0.92 && share <= 0.99, `${name}: ${share}`);
  }
});
