import assert from "node:assert/strict";
import { test } from "node:test";
import { readSignature } from "@millrace/onnx";
import type { Answers } from "./answers.ts";
import { mostProbable } from "./answers.ts";
import { answersOfArtefact } from "./evaluate.ts";
import { MULTICLASS, partsOf, rowsOf, TASKS } from "./rowsForTests.ts";
import { REGRESSION, type Task } from "./task.ts";
import { trainCandidate } from "./train.ts";
import type { TrainerAlgorithm, TrainRequest } from "./trainRequest.ts";

const ROWS = 4_000;

const train = (task: Task, algorithm: TrainerAlgorithm, others: Partial<TrainRequest> = {}) =>
  trainCandidate({ algorithm, task, ...partsOf(rowsOf(task, ROWS)), parameters: { trees: 40 }, seed: 1, ...others });

/** Mean loss of answers: log loss of the truth, or squared error. */
function lossOf(answers: Answers, labels: Float64Array): number {
  const total = labels.reduce((sum, label, row) => {
    if (answers.kind === "regression") return sum + ((answers.values[row] as number) - label) ** 2;
    if (answers.kind === "multiclass") return sum - Math.log(answers.probabilities[label]?.[row] as number);
    const probability = answers.probabilities[row] as number;
    return sum - Math.log(label === 1 ? probability : 1 - probability);
  }, 0);
  return total / labels.length;
}

const KINDS: readonly [string, TrainerAlgorithm, Partial<TrainRequest>][] = [
  ["gbdt", "gbdt", {}],
  ["linear model", "logistic", {}],
  ["prior", "baseline", {}],
  ["segment mean", "baseline", { baseline: { kind: "segment_mean", feature: "c" } }],
  ["last value", "baseline", { baseline: { kind: "last_value", feature: "b" } }],
];

for (const task of TASKS) {
  for (const [title, algorithm, others] of KINDS) {
    if (task.kind === "multiclass" && title === "last value") continue;
    const fitting = algorithm === "logistic" && task.kind === "regression" ? "linear" : algorithm;
    test(`${task.kind}, ${title}: the file answers unseen rows, categories and missing values as its trainer does`, async () => {
      const { onnx, predict } = await train(task, fitting, others);
      const unseen = rowsOf(task, 500, 9);
      const columns = unseen.columns.map((column, index) =>
        // Categories that training did not see, too.
        column.map((value, row) => (index === 2 && row % 9 === 0 ? 999 : row % 11 === 0 ? Number.NaN : value)),
      );
      const [own, served] = [predict(columns), await answersOfArtefact(onnx, columns, task)];
      const near = (left: Float64Array | undefined, right: Float64Array | undefined, unit: number): void => {
        for (const [row, value] of (left ?? []).entries()) {
          assert.ok(Math.abs(value - (right?.[row] as number)) <= 1e-5 * unit, `row ${row}: ${value} ${right?.[row]}`);
        }
      };
      if (own.kind === "regression" && served.kind === "regression") {
        for (const end of ["values", "lower", "upper"] as const) near(own[end], served[end], 50);
      } else if (own.kind === "multiclass" && served.kind === "multiclass") {
        for (const [label, of] of own.probabilities.entries()) near(of, served.probabilities[label], 1);
        assert.ok(served.sets.every((set, label) => set.every((value) => value === 0 || value === 1) && label < 3));
      } else if (own.kind === "binary" && served.kind === "binary") {
        near(own.probabilities, served.probabilities, 1);
      } else assert.fail("the file answers another task");
    });
  }
}

test("the files' inputs and outputs are those of the contract", async () => {
  const outputsOf = async (task: Task) => readSignature((await train(task, "baseline")).onnx).outputs;
  assert.deepEqual(await outputsOf(MULTICLASS), [
    { name: "probabilities", datatype: "float", shape: [-1, 3] },
    { name: "prediction_set", datatype: "bool", shape: [-1, 3] },
  ]);
  assert.deepEqual(
    (await outputsOf(REGRESSION)).map(({ name, datatype, shape }) => `${name} ${datatype} ${shape.join()}`),
    ["value float -1,1", "lower float -1,1", "upper float -1,1"],
  );
});

for (const task of TASKS) {
  test(`${task.kind}: trees beat the segment mean, which beats the prior, on rows that none has seen`, async () => {
    const { holdout } = partsOf(rowsOf(task, ROWS));
    const loss = async (algorithm: TrainerAlgorithm, others: Partial<TrainRequest> = {}): Promise<number> =>
      lossOf((await train(task, algorithm, others)).predict(holdout.columns), holdout.labels);
    const [trees, segments, prior] = [
      await loss("gbdt"),
      await loss("baseline", { baseline: { kind: "segment_mean", feature: "c" } }),
      await loss("baseline"),
    ];
    assert.ok(trees < segments && segments < prior, `${trees} ${segments} ${prior}`);
  });
}

test("intervals and sets hold as many fresh truths as they state, whatever the model", async () => {
  for (const [task, algorithm, others] of [
    [REGRESSION, "gbdt", {}],
    [REGRESSION, "baseline", {}],
    [MULTICLASS, "gbdt", {}],
    [MULTICLASS, "baseline", { baseline: { kind: "segment_mean", feature: "c" } }],
  ] as const) {
    const { predict } = await train(task, algorithm, { ...others, ...partsOf(rowsOf(task, 20_000)), coverage: 0.8 });
    const fresh = rowsOf(task, 6_000, 77);
    const answers = predict(fresh.columns);
    const inside = fresh.labels.filter((label, row) => {
      if (answers.kind === "multiclass") return answers.sets[label]?.[row] === 1;
      return (
        answers.kind === "regression" &&
        label >= (answers.lower[row] as number) &&
        label <= (answers.upper[row] as number)
      );
    });
    const covered = inside.length / fresh.labels.length;
    // A set is made of whole classes, and may hold a little more.
    const most = task.kind === "multiclass" ? 0.05 : 0.025;
    assert.ok(covered > 0.775 && covered < 0.8 + most, `${task.kind} ${algorithm}: ${covered}`);
  }
});

test("of several classes, the most probable one is mostly right", async () => {
  const { holdout } = partsOf(rowsOf(MULTICLASS, ROWS));
  const answers = (await train(MULTICLASS, "gbdt")).predict(holdout.columns);
  assert.equal(answers.kind, "multiclass");
  const best = mostProbable(answers.probabilities);
  const right = holdout.labels.filter((label, row) => label === best[row]).length / holdout.labels.length;
  assert.ok(right > 0.6, `${right}`);
});

test("a monotone feature moves the file's own answers one way only", async () => {
  const { onnx } = await train(REGRESSION, "gbdt", { monotone: { b: 1 } });
  const steps = Float64Array.from({ length: 200 }, (_, row) => row / 100 - 1);
  const answers = await answersOfArtefact(onnx, [steps.map(() => 4), steps, steps.map(() => 103)], REGRESSION);
  assert.equal(answers.kind, "regression");
  for (let row = 1; row < 200; row += 1) {
    assert.ok((answers.values[row] as number) >= (answers.values[row - 1] as number) - 1e-5);
  }
});

test("what does not fit the task is refused before any training", async () => {
  const never = (): void => assert.fail("training began");
  const refused = (task: Task, algorithm: TrainerAlgorithm, others: Partial<TrainRequest>, message: RegExp) =>
    assert.rejects(train(task, algorithm, { ...others, onProgress: never }), { code: "failed_precondition", message });
  const { train: rows } = partsOf(rowsOf(MULTICLASS, ROWS));
  const labelled = (label: (row: number) => number) => ({
    train: { ...rows, labels: rows.labels.map((_, row) => label(row)) },
  });
  await refused(REGRESSION, "logistic", {}, /LOGISTIC is not for this task; LINEAR is for numbers/);
  await refused(MULTICLASS, "linear", {}, /LINEAR is not for this task; LOGISTIC is for classes/);
  await refused(
    MULTICLASS,
    "gbdt",
    labelled((row) => row % 4),
    /row 3 has the label 3; .* one of the 3 classes/,
  );
  await refused(
    MULTICLASS,
    "gbdt",
    labelled((row) => row % 2),
    /no row has the label full; .* model\.classes/,
  );
  await refused(
    MULTICLASS,
    "gbdt",
    labelled(() => 1),
    /rows have the label busy; .* more than one class/,
  );
  await refused(MULTICLASS, "gbdt", { monotone: { a: 1 } }, /monotone\.a: .* leave monotone out/);
  await refused(REGRESSION, "gbdt", { monotone: { c: 1 } }, /monotone\.c: it is categorical/);
  await refused(REGRESSION, "gbdt", { monotone: { d: 1 } }, /monotone\.d: there is no such feature/);
  await refused(
    REGRESSION,
    "gbdt",
    labelled(() => 7),
    /rows have the label 7; there is nothing to learn/,
  );
  await refused(
    REGRESSION,
    "gbdt",
    labelled((row) => (row === 5 ? Infinity : row)),
    /row 5 has the label Infinity/,
  );
  await refused(REGRESSION, "baseline", { baseline: { kind: "last_value", feature: "d" } }, /needs the feature d/);
});
