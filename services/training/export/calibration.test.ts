import assert from "node:assert/strict";
import { test } from "node:test";
import type { GraphBuilder } from "@millrace/onnx";
import { type Calibration, calibrated } from "../calibration/calibration.ts";
import { fitIsotonic } from "../calibration/isotonic.ts";
import { predictWithArtefact } from "../evaluate.ts";
import { toOnnx } from "./artefact.ts";
import { addLinear } from "./linear.ts";

const ROWS = 10_000;
const scores = Float64Array.from({ length: ROWS }, (_, row) => Math.fround((((row * 7919) % ROWS) / ROWS) * 12 - 6));

/** An ONNX file whose score is its only feature. */
const identity = {
  means: Float64Array.of(0),
  deviations: Float64Array.of(1),
  weights: [Float64Array.of(1)],
  intercepts: Float64Array.of(0),
};

const onnxWith = (calibration: Calibration): Uint8Array => {
  const addScores = (graph: GraphBuilder, columns: string): string => addLinear(graph, columns, identity);
  return toOnnx({ name: "identity", featureNames: ["score"], codes: [], addScores }, { kind: "binary", calibration });
};

function isotonic(): Calibration {
  const labels = scores.map((score, row) =>
    ((row * 15_485_863) % 9_973) / 9_973 < Math.min(0.9, 0.05 + Math.max(0, score) ** 2 / 40) ? 1 : 0,
  );
  const line = fitIsotonic({ scores, labels });
  assert.ok(line !== undefined && line.scores.length > 10, "a line of many knots");
  return line;
}

for (const [name, calibration] of [
  ["none", { method: "none" }],
  ["platt", { method: "platt", slope: 0.7, intercept: -0.3 }],
  ["isotonic", isotonic()],
] as const satisfies readonly (readonly [string, Calibration])[]) {
  test(`the calibration "${name}" inside the model file answers as outside it, also beyond its outermost scores`, async () => {
    const expected = calibrated(scores, calibration);
    const answers = await predictWithArtefact(onnxWith(calibration), [scores]);
    for (let row = 0; row < ROWS; row += 1) {
      assert.ok(Math.abs((answers[row] as number) - (expected[row] as number)) < 1e-5, `row ${row}`);
    }
  });
}
