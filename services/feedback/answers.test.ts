import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import type { ScoredPrediction } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { MillraceError } from "@millrace/runtime";
import { hourMs, type TestApp, TestFeedback } from "./feedbackForTests.ts";

let feedback: TestFeedback;
before(async () => {
  feedback = await TestFeedback.start();
});
after(() => feedback[Symbol.asyncDispose]());

/** The flights with another task. */
const withTask = (model: string, label: string, serving: string): Promise<TestApp> =>
  feedback.app(
    [/value: .*\n {2}wait: 36h/, `value: '${label}'\n  wait: 36h\n  reports: true`],
    [/\nmodel:[^]*\nserving:\n/, `\nmodel:\n  holdout: 20%\n${model}\nserving:\n${serving}`],
    [/ {2}constant: 0.2\n {2}decisions:\n( {4}- .*\n)+/, ""],
    [/ {2}max_log_loss_increase: .*\n/, ""],
  );

const numbers = () =>
  withTask("  task: REGRESSION\n  candidates: [LINEAR]\n  metric: RMSE\n", "event.delay", "  constant: 5\n");

const CLASSES = ["on-time", "late", "very-late"];
const classes = () =>
  withTask(
    `  task: MULTICLASS\n  classes: [${CLASSES.join()}]\n  candidates: [GBDT]\n  metric: LOG_LOSS\n`,
    'event.delay < 15.0 ? "on-time" : event.delay < 60.0 ? "late" : "very-late"',
    "  constant_class: late\n",
  );

async function scored(app: TestApp): Promise<ScoredPrediction[]> {
  const rows: ScoredPrediction[] = [];
  for await (const response of feedback.client.readOutcomes({ app: app.name })) rows.push(...response.rows);
  return rows;
}

test("a number's outcome tells the value and its interval beside the truth", async () => {
  const app = await numbers();
  await app.predict("f1", 1, { value: 12.5, interval: { lower: -3, upper: 40, coverage: 0.8 }, probability: 0 });
  await app.predict("f2", 1, { value: 0, probability: 0, madeBy: MadeBy.BASELINE, modelVersion: "" });
  await app.land({ flight: "f1", hour: 2, delay: 17.25 }, { flight: "f2", hour: 2, delay: -4 });
  await app.settled();
  const outcomes = (await app.outcomes()).sort((a, b) => b.label - a.label);
  const told = outcomes.map(({ label, value, interval, predictedClass, labelProbability }) => [
    [label, value, predictedClass, labelProbability],
    interval && [interval.lower, interval.upper, interval.coverage],
  ]);
  assert.deepEqual(told, [
    [
      [17.25, 12.5, undefined, undefined],
      [-3, 40, 0.8],
    ],
    [[-4, 0, undefined, undefined], undefined],
  ]);
  const rows = await scored(app);
  assert.deepEqual(rows.map(({ joinKey, value }) => `${joinKey} ${value}`).sort(), ["f1 12.5", "f2 0"]);
  assert.ok(rows.every(({ labelClass, predictedClass }) => labelClass === "" && predictedClass === ""));
});

test("a class's outcome tells what was predicted, and the probability of what came true, also after a correction", async () => {
  const app = await classes();
  const answer = {
    predictedClass: "late",
    probability: 0.5,
    classProbabilities: [0.25, 0.5, 0.25],
    predictionSet: ["on-time", "late"],
  };
  await app.predict("f1", 1, answer);
  // By the constant: nothing but a class.
  await app.predict("f2", 1, { predictedClass: "late", probability: 0, madeBy: MadeBy.CONSTANT, modelVersion: "" });
  await app.land({ flight: "f1", hour: 2, delay: 0 }, { flight: "f2", hour: 2, delay: 20 });
  await app.settled();
  await app.land({ flight: "f1", hour: 3, delay: 90 });
  await app.settled();
  const told = (await app.outcomes())
    .sort((a, b) => a.revision - b.revision || a.label - b.label)
    .map((one) => [one.label, one.predictedClass, one.labelProbability, one.previousLabelProbability, one.inSet]);
  assert.deepEqual(told, [
    [0, 1, 0.25, undefined, true],
    [1, 1, undefined, undefined, undefined],
    [2, 1, 0.25, 0.25, false],
  ]);
  const [first] = (await scored(app)).filter(({ joinKey }) => joinKey === "f1");
  assert.deepEqual([first?.label, first?.labelClass, first?.predictedClass], [2, "very-late", "late"]);
  assert.deepEqual(first?.classProbabilities, answer.classProbabilities);
  assert.deepEqual(first.predictionSet, answer.predictionSet);
});

test("a class is reported by its name, a number as it is, and the wrong one of the two is refused", async () => {
  const [kinds, minutes] = [await classes(), await numbers()];
  const report = (app: TestApp, label: { value?: number; labelClass?: string }) => {
    const about = { case: "joinKey" as const, value: "f1" };
    const occurredAt = timestampFromMs(hourMs(3));
    return feedback.client.report({ app: app.name, label: { id: "r1", about, occurredAt, ...label } });
  };
  const refused = async (app: TestApp, label: { value?: number; labelClass?: string }): Promise<string[]> =>
    report(app, label).then(
      () => assert.fail("it was taken"),
      (error: MillraceError) => error.violations.map(({ field, reason }) => `${field} ${reason}`),
    );
  assert.deepEqual(await refused(kinds, { labelClass: "cancelled" }), ["label.label_class unknown_class"]);
  assert.deepEqual(await refused(kinds, { value: 1 }), ["label.value does_not_fit", "label.label_class unknown_class"]);
  assert.deepEqual(await refused(minutes, { labelClass: "late" }), ["label.label_class does_not_fit"]);
  await report(kinds, { labelClass: "very-late" });
  await report(minutes, { value: -7.5 });
  const valuesOf = async (app: TestApp) =>
    (await app.published("EVENTS", (data) => fromBinary(EventSchema, data))).map(
      ({ fields }) => fields["reported_label"]?.kind,
    );
  assert.deepEqual(await valuesOf(kinds), [{ case: "doubleValue", value: 2 }]);
  assert.deepEqual(await valuesOf(minutes), [{ case: "doubleValue", value: -7.5 }]);
});
