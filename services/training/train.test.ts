import assert from "node:assert/strict";
import { test } from "node:test";
import { areaUnderRoc, logLoss } from "@millrace/metrics";
import { readSignature } from "@millrace/onnx";
import type { Answers } from "./answers.ts";
import { predictWithArtefact } from "./evaluate.ts";
import { checkTrainable, type Matrix, selectRows } from "./matrix.ts";
import { trainCandidate } from "./train.ts";
import type { TrainerAlgorithm, TrainRequest } from "./trainRequest.ts";
import { verifyArtefact } from "./verify.ts";

const ROWS = 10_000;

/** Rows whose label depends on a threshold, a slope and a missing value; every tenth value of each column is missing. */
function rows(): Matrix {
  const a = Float64Array.from({ length: ROWS }, (_, row) =>
    row % 10 === 3 ? Number.NaN : ((row * 7919) % 1_000) / 10,
  );
  const b = Float64Array.from({ length: ROWS }, (_, row) =>
    row % 10 === 7 ? Number.NaN : ((row * 104_729) % 997) / 997,
  );
  const labels = Float64Array.from({ length: ROWS }, (_, row) => {
    const score = ((a[row] as number) > 60 ? 1.5 : -1) + 2 * ((b[row] as number) || 0.5) - 1;
    return ((row * 15_485_863) % 1_009) / 1_009 < 1 / (1 + Math.exp(-score)) ? 1 : 0;
  });
  return { featureNames: ["a", "b"], columns: [a, b], labels };
}

const range = (begin: number, end: number): number[] =>
  Array.from({ length: end - begin }, (_, index) => begin + index);

function probabilitiesOf(answers: Answers): Float64Array {
  assert.equal(answers.kind, "binary");
  return answers.probabilities;
}

function train(algorithm: TrainerAlgorithm, all: Matrix, others: Partial<TrainRequest> = {}) {
  return trainCandidate({
    algorithm,
    train: selectRows(all, range(0, 7_000)),
    validation: selectRows(all, range(7_000, 8_000)),
    calibration: selectRows(all, range(8_000, 9_000)),
    threads: 1,
    ...others,
  });
}

for (const algorithm of ["gbdt", "logistic", "baseline"] as const) {
  test(`the ONNX file of ${algorithm} answers as its trainer does, within 1e-5, missing values included`, async () => {
    const all = rows();
    const { onnx, predict } = await train(algorithm, all);
    const own = probabilitiesOf(predict(all.columns));
    const artefact = await predictWithArtefact(onnx, all.columns);
    for (let row = 0; row < ROWS; row += 1) {
      const difference = Math.abs((own[row] as number) - (artefact[row] as number));
      assert.ok(difference <= 1e-5, `row ${row}: ${own[row]} and ${artefact[row]}`);
    }
    assert.deepEqual(readSignature(onnx), {
      inputs: [{ name: "features", datatype: "float", shape: [-1, 2] }],
      outputs: [{ name: "probability", datatype: "float", shape: [-1, 1] }],
    });
  });
}

test("trees learn what a line cannot, and both beat the base rate", async () => {
  const all = rows();
  const unseen = selectRows(all, range(9_000, ROWS));
  const quality = async (algorithm: TrainerAlgorithm): Promise<{ auc: number; loss: number }> => {
    const answers = probabilitiesOf((await train(algorithm, all)).predict(unseen.columns));
    return { auc: areaUnderRoc(unseen.labels, answers), loss: logLoss(unseen.labels, answers) };
  };
  const [gbdt, logistic, baseline] = [await quality("gbdt"), await quality("logistic"), await quality("baseline")];
  assert.ok(gbdt.auc > logistic.auc && logistic.auc > 0.6, `${gbdt.auc} ${logistic.auc}`);
  assert.ok(
    gbdt.loss < logistic.loss && logistic.loss < baseline.loss,
    `${gbdt.loss} ${logistic.loss} ${baseline.loss}`,
  );
});

test("the same rows give the same file", async () => {
  const all = rows();
  const [first, second] = [await train("gbdt", all), await train("gbdt", all)];
  assert.deepEqual(first.onnx, second.onnx);
});

test("a column that is constant or all missing does no harm, and is named", async () => {
  const all = rows();
  const odd = [new Float64Array(ROWS).fill(3), new Float64Array(ROWS).fill(Number.NaN)];
  const matrix: Matrix = { ...all, featureNames: ["a", "b", "c", "d"], columns: [...all.columns, ...odd] };
  for (const algorithm of ["gbdt", "logistic"] as const) {
    const { onnx, predict, warnings } = await train(algorithm, matrix);
    assert.deepEqual(warnings, [
      "The feature c is 3 in every row to train on: the model learns nothing from it.",
      "The feature d is missing in every row to train on: the model learns nothing from it.",
    ]);
    const [own, artefact] = [probabilitiesOf(predict(matrix.columns)), await predictWithArtefact(onnx, matrix.columns)];
    assert.ok(
      own.every((value, row) => Math.abs(value - (artefact[row] as number)) <= 1e-5),
      algorithm,
    );
  }
});

test("what cannot be trained on is refused by name, before any training", () => {
  const good = { featureNames: ["a"], columns: [Float64Array.of(1, 2)], labels: Float64Array.of(0, 1) };
  const cases: [Partial<Matrix>, RegExp][] = [
    [{ labels: Float64Array.of() }, /no rows/],
    [{ labels: Float64Array.of(1, 1) }, /all 2 rows have the label 1/],
    [{ labels: Float64Array.of(0, 2) }, /row 1 has the label 2/],
    [{ labels: Float64Array.of(0, Number.NaN) }, /row 1 has the label NaN/],
    [{ columns: [Float64Array.of(1, Infinity)] }, /feature a is infinite in row 1/],
    [{ columns: [Float64Array.of(1)] }, /feature a has 1 rows, the labels have 2/],
    [{ columns: [Float64Array.of(1, 1e39)] }, /feature a is 1e\+39 in row 1/],
    [{ featureNames: ["a", "a"], columns: [Float64Array.of(1, 2), Float64Array.of(1, 2)] }, /two features named a/],
    [{ weights: Float64Array.of(1, -1) }, /row 1 has the weight -1/],
    [{ weights: Float64Array.of(1) }, /1 weights for 2 rows/],
    [{ weights: Float64Array.of(1, 0) }, /label 1 have the weight 0/],
  ];
  for (const [change, message] of cases) assert.throws(() => checkTrainable({ ...good, ...change }), { message });
});

test("rows and parameters that make no sense are refused before any tree is grown", async () => {
  const all = rows();
  const constant = { ...all, columns: all.columns.map((column) => column.map(() => 7)) };
  const never = (): void => assert.fail("training began");
  const refused = (matrix: Matrix, others: Partial<TrainRequest>, message: RegExp): Promise<void> =>
    assert.rejects(train("gbdt", matrix, { ...others, onProgress: never }), { message });
  await refused(constant, {}, /no feature varies: a is 7 in every row; b is 7/);
  await refused(all, { parameters: { trees: 0 } }, /trees is 0; it must be a whole number from 1/);
  await refused(all, { parameters: { maxDepth: 40 } }, /maxDepth is 40/);
  await refused(all, { parameters: { learningRate: Number.NaN } }, /learningRate is NaN/);
  await refused(all, { validation: { ...all, featureNames: ["b", "a"] } }, /validation rows have the features b, a/);
  await refused(
    all,
    { calibration: { ...all, labels: all.labels.map(() => Number.NaN) } },
    /calibration row 0 has the label NaN/,
  );
});

test("a model file that does not answer as its trainer did is refused", async () => {
  const all = rows();
  const { onnx, predict } = await train("gbdt", all);
  await verifyArtefact(onnx, predict, all);
  const wrong: typeof predict = (columns) => ({
    kind: "binary",
    probabilities: probabilitiesOf(predict(columns)).map((value, row) => (row === 41 ? value + 1e-4 : value)),
  });
  await assert.rejects(verifyArtefact(onnx, wrong, all), {
    code: "internal",
    message: /^row 41: the model file answers/,
  });
});
