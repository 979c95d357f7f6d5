import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { readSignature } from "@millrace/onnx";
import { Algorithm, Metric, type ModelSchema, Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { ModelState, type ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { GetModelCardRequestSchema } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { APP, type History, TestTraining } from "./serviceForTests.ts";

let training: TestTraining;
before(async () => {
  training = await TestTraining.start();
});
after(async () => {
  await training[Symbol.asyncDispose]();
});

/** Runs a job of an app with this model section. */
async function runJob(
  id: string,
  model: Partial<MessageInitShape<typeof ModelSchema>>,
  history: Partial<History>,
): Promise<{ outcome: string; reason: string; version: ModelVersion | undefined }> {
  await training.applyApp(model);
  training.history = { rows: 4_000, direction: 1, ...history };
  const events = await training.runJob(id);
  const last = events.at(-1);
  return { outcome: last?.what ?? "", reason: last?.reason ?? "", version: last?.model };
}

const cardOf = async (number: number) =>
  training.registry.getModelCard(create(GetModelCardRequestSchema, { app: APP, number }));

const NUMBERS = {
  task: Task.REGRESSION,
  candidates: [Algorithm.LINEAR, Algorithm.BASELINE],
  metric: Metric.RMSE,
  coverage: 0.8,
  segments: ["airport", "hour"],
  gates: { maxCoverageError: 0.1, minRows: 100, maxSegmentGap: 50, maxRowMicroseconds: 1e6 },
};

test("numbers: searched, judged, gated, registered with its signature, and told as one page", async () => {
  const { outcome, version, reason } = await runJob(
    "numbers",
    { ...NUMBERS, rolling: 2, search: { trials: 2 }, halfLife: durationFromMs(86_400_000) },
    { labels: "numbers" },
  );
  assert.equal(outcome, "promoted", reason);
  assert.equal(version?.state, ModelState.CHAMPION);
  assert.equal(version.task, Task.REGRESSION);
  assert.equal(version.coverage, 0.8);
  assert.ok(
    (version.metrics["rmse"] ?? 99) < 10 && (version.metrics["r2"] ?? 0) > 0.8,
    JSON.stringify(version.metrics),
  );
  assert.ok((version.prior[0] ?? 0) > 40 && (version.prior[0] ?? 0) < 70);
  assert.match(version.verdict.join("\n"), /Of 2 candidates, linear has the best RMSE/);
  assert.match(version.verdict.join("\n"), /RMSE is worst in (airport|hour)/);
  const { markdown, evaluation } = await cardOf(version.number);
  assert.ok(evaluation !== undefined);
  const rmse = evaluation.metrics.find(({ name }) => name === "rmse")?.candidate;
  assert.ok(rmse !== undefined && rmse.lower < rmse.value && rmse.value < rmse.upper);
  assert.ok(evaluation.trials.length >= 3 && evaluation.trials.every(({ algorithm }) => algorithm !== "baseline"));
  assert.equal(evaluation.folds.length, 2);
  assert.ok((evaluation.folds[0]?.trainRows ?? 0n) < (evaluation.folds[1]?.trainRows ?? 0n));
  assert.ok(evaluation.segments.some(({ by, segment }) => by === "airport" && segment === "SFO"));
  assert.deepEqual(
    evaluation.importance.map(({ feature }) => feature),
    version.featureNames,
  );
  assert.ok(
    (evaluation.importance[0]?.permutation ?? 0) > 5 * (evaluation.importance[1]?.permutation ?? 0),
    "busy tells",
  );
  for (const part of [
    "# flights/1",
    "## Data",
    "## How good",
    "## Coverage over time",
    "## Where it is bad",
    "## Why",
    "✔",
  ]) {
    assert.ok(markdown.includes(part), part);
  }
});

test("classes: the next version of the app has another task, so the champion of before is no obstacle", async () => {
  const model = {
    task: Task.MULTICLASS,
    classes: ["free", "busy", "full"],
    candidates: [Algorithm.LOGISTIC, Algorithm.BASELINE],
    metric: Metric.LOG_LOSS,
    gates: { minAccuracy: 0.4, minRows: 100 },
  };
  const { outcome, version, reason } = await runJob("classes", model, { labels: "classes" });
  assert.equal(outcome, "promoted", reason);
  assert.match(reason, /Champion 1 could not be run .*: it was made for another task/);
  assert.deepEqual(version?.classes, ["free", "busy", "full"]);
  assert.ok(Math.abs(version.prior.reduce((sum, share) => sum + share, 0) - 1) < 1e-9);
  const store = await training.bus.objects("models");
  const onnx = (await store.getBlob(version.artefact)) as Uint8Array;
  assert.deepEqual(
    readSignature(onnx).outputs.map(({ name }) => name),
    ["probabilities", "prediction_set"],
  );
  const { evaluation } = await cardOf(version.number);
  assert.equal(evaluation?.confusion.length, 9);
  assert.ok(evaluation.curves.some(({ name, class: of }) => name === "roc" && of === "full"));
});

test("a training that takes too long, and a dataset whose rows repeat, end with a sentence that says what to do", async () => {
  const slow = await runJob("slow", { ...NUMBERS, timeLimit: durationFromMs(1) }, { labels: "numbers" });
  assert.equal(slow.outcome, "failed");
  assert.match(slow.reason, /took longer than 1ms \(model\.time_limit\).*allow more/);
  const repeated = await runJob("repeated", NUMBERS, { labels: "numbers", times: 3 });
  assert.equal(repeated.outcome, "failed");
  assert.match(repeated.reason, /67 % of the 4000 rows are there before/);
});
