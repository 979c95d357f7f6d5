import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { featureBucket } from "@millrace/bus";
import { GraphBuilder } from "@millrace/onnx";
import { AppVersionSchema, Task } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { WatermarkSchema } from "@millrace/proto/millrace/feature/v1/watermark_pb.ts";
import { MadeBy, type Prediction } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { DeploymentSchema, type ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { FEATURES, flightRow, type ServingSettings, TestGateway, testApp, WATERMARK_MS } from "./gatewayForTests.ts";
import { logisticModel } from "./workers/onnxForTests.ts";

const CLASSES = ["on-time", "late", "very-late"];
const MINUTES = "flight-minutes";
const KINDS = "flight-kinds";

let gateway: TestGateway;
before(async () => {
  gateway = await TestGateway.start();
  await addApp(MINUTES, Task.REGRESSION, {
    constant: -2.5,
    decisions: [
      { name: "warn", atLeast: 15 },
      { name: "fine", atLeast: -10 },
    ],
  });
  await addApp(KINDS, Task.MULTICLASS, { constantClass: "late", constant: 0, decisions: [], abstain: { to: 0.6 } });
});
after(() => gateway[Symbol.asyncDispose]());

/** The tests' app under another name, with another task. */
async function addApp(name: string, task: Task, serving: ServingSettings): Promise<void> {
  const version = testApp(10_000, serving);
  if (version.app?.model === undefined) throw new Error("it has a model section");
  version.app.app = name;
  version.app.model.task = task;
  if (task === Task.MULTICLASS) version.app.model.classes = CLASSES;
  const features = await gateway.bus.createKeyValue(featureBucket(name), { history: 1 });
  const watermark = create(WatermarkSchema, { eventTime: timestampFromMs(WATERMARK_MS) });
  await features.put("watermark.0", toBinary(WatermarkSchema, watermark));
  await (await gateway.bus.keyValue("apps")).put(name, toBinary(AppVersionSchema, version));
  await waitFor(async () => (await ask(name).catch(() => undefined)) !== undefined, { what: `${name} to be known` });
}

async function ask(app: string, distance = 0, flightId = "f1"): Promise<Prediction> {
  const { prediction } = await gateway.client.predict(
    { app, ...flightRow({ flightId, distance }) },
    { timeoutMs: 9_000 },
  );
  assert.ok(prediction !== undefined);
  return prediction;
}

async function model(
  app: string,
  number: number,
  onnx: Uint8Array,
  others: Partial<ModelVersion>,
): Promise<ModelVersion> {
  return { ...(await gateway.model(number, onnx)), app, ...others };
}

async function serve(
  champion: ModelVersion,
  beside: { canary?: ModelVersion; shadow?: ModelVersion } = {},
): Promise<void> {
  const share = (version?: ModelVersion) => version && { model: version, percent: 100 };
  const [canary, shadow] = [share(beside.canary), share(beside.shadow)];
  const deployment = create(DeploymentSchema, {
    app: champion.app,
    champion,
    ...(canary === undefined ? {} : { canary }),
    ...(shadow === undefined ? {} : { shadow }),
  });
  await (await gateway.bus.keyValue("deployments")).put(champion.app, toBinary(DeploymentSchema, deployment));
  const answers = `${champion.app}/${(beside.canary ?? champion).number}`;
  await waitFor(async () => (await ask(champion.app)).modelVersion === answers, { what: `${answers} to answer` });
}

/** The known values of the features, missing ones as 0, times weights [3, columns]. */
function weighted(graph: GraphBuilder, weights: readonly number[], columns: number): string {
  const input = graph.input("features", ["rows", FEATURES.length]);
  const zeros = graph.constant(new Float32Array(FEATURES.length), [FEATURES.length]);
  const known = graph.node("Where", [graph.node("IsNaN", [input]), zeros, input]);
  return graph.node("MatMul", [known, graph.constant(weights, [FEATURES.length, columns])]);
}

/** distance / 10, with ends 5 below and 20 above; no number where there are too many turns for a float32. */
function minutesModel(factor = 0.1): Uint8Array {
  const graph = new GraphBuilder("minutes");
  const minutes = weighted(graph, [factor, 0, 10], 1);
  for (const [name, offset] of [
    ["value", 0],
    ["lower", -5],
    ["upper", 20],
  ] as const) {
    graph.node("Add", [minutes, graph.constant([offset], [1])], {}, { output: name });
    graph.output(name, ["rows", 1]);
  }
  return graph.toBytes();
}

/** Softmax of 0, distance / 100 and -1, without turns; likely enough are those from 0.2 on. */
function kindsModel(): Uint8Array {
  const graph = new GraphBuilder("kinds");
  const scores = graph.node("Add", [
    weighted(graph, [0, 0.01, 0, 0, 0, 0, 0, 10, 10], 3),
    graph.constant([0, 0, -1], [1, 3]),
  ]);
  graph.node("Softmax", [scores], { axis: 1n }, { output: "probabilities" });
  graph.node("GreaterOrEqual", ["probabilities", graph.constant([0.2], [1])], {}, { output: "prediction_set" });
  graph.output("probabilities", ["rows", 3]);
  graph.output("prediction_set", ["rows", 3], "BOOL");
  return graph.toBytes();
}

async function* once<Item>(item: Item) {
  yield item;
}

const regression = { task: Task.REGRESSION, coverage: 0.8, prior: [6.25], baseRate: 0 };
const multiclass = { task: Task.MULTICLASS, classes: CLASSES, coverage: 0.9, prior: [0.7, 0.2, 0.1], baseRate: 0 };
const rounded = (values: readonly number[]): number[] => values.map((value) => Math.round(value * 1e4) / 1e4);

test("before any model the constant answers: a number of any size, or a class without a probability", async () => {
  const value = await ask(MINUTES);
  assert.deepEqual(
    [value.madeBy, value.value, value.interval, value.decision],
    [MadeBy.CONSTANT, -2.5, undefined, "fine"],
  );
  const kind = await ask(KINDS);
  assert.deepEqual([kind.madeBy, kind.predictedClass, kind.probability], [MadeBy.CONSTANT, "late", 0]);
  assert.deepEqual([kind.classProbabilities, kind.predictionSet, kind.decision], [[], [], "abstain"]);
});

test("a number comes with its interval, and is decided by its thresholds", async () => {
  await serve(await model(MINUTES, 1, minutesModel(), regression));
  const warned = await ask(MINUTES, 200);
  assert.deepEqual([warned.value, warned.decision, warned.probability], [20, "warn", 0]);
  assert.deepEqual([warned.interval?.lower, warned.interval?.upper, warned.interval?.coverage], [15, 40, 0.8]);
  assert.deepEqual([warned.band?.lower, warned.band?.upper], [15, Infinity]);
  const zero = await ask(MINUTES, 0);
  assert.deepEqual([zero.value, zero.decision, zero.band?.lower], [0, "fine", -10], "a zero is told, too");
});

test("a class comes with the probabilities of all, the set of the likely ones, and its own as the probability", async () => {
  await serve(await model(KINDS, 1, kindsModel(), multiclass));
  const late = await ask(KINDS, 100);
  const total = 1 + Math.E + 1 / Math.E;
  assert.deepEqual(rounded(late.classProbabilities), rounded([1 / total, Math.E / total, 1 / Math.E / total]));
  assert.deepEqual([late.predictedClass, late.decision, late.band?.lower], ["late", "late", 0.6]);
  assert.ok(Math.abs(late.probability - Math.E / total) < 1e-6);
  assert.deepEqual(late.predictionSet, ["on-time", "late"]);
  const open = await ask(KINDS, 0);
  assert.deepEqual([open.decision, open.band?.abstain, open.band?.upper], ["abstain", true, 0.6]);
});

test("rows of a batch and of a stream are answered as each alone, and stored so", async () => {
  for (const app of [MINUTES, KINDS]) {
    const rows = [30, 170, 90].map((distance, index) => flightRow({ flightId: `${app}-${index}`, distance }));
    const { results } = await gateway.client.predictBatch({ app, rows });
    const together = results.map(({ result }) => (result.case === "prediction" ? result.value : undefined));
    for (const [index, distance] of [30, 170, 90].entries()) {
      const alone = await ask(app, distance);
      for (const field of ["value", "classProbabilities", "predictedClass", "predictionSet", "decision"] as const)
        assert.deepEqual(together[index]?.[field], alone[field], field);
      assert.deepEqual(together[index]?.interval, alone.interval);
    }
    const streamed = gateway.client.predictStream(
      once({ app, row: flightRow({ flightId: `${app}-s`, distance: 170 }) }),
    );
    for await (const { result } of streamed) {
      const prediction = result?.result.case === "prediction" ? result.result.value : undefined;
      assert.deepEqual(
        [prediction?.value, prediction?.predictedClass],
        [together[1]?.value, together[1]?.predictedClass],
      );
    }
    const stored = (await gateway.stored()).filter(({ requestId }) => requestId.startsWith(app));
    assert.deepEqual(stored.slice(0, 3), together);
  }
});

test("when no model can answer, what its training set says of all does, without a promise of coverage", async () => {
  const beyond = 3e38;
  for (const [app, expected] of [
    [MINUTES, { value: 6.25, decision: "fine" }],
    [KINDS, { predictedClass: "on-time", decision: "on-time" }],
  ] as const) {
    const row = flightRow({ flightId: `${app}-nan` });
    // Not a number, which no field's range refuses: what the model makes of it is no answer.
    const turns = { kind: { case: "doubleValue" as const, value: beyond } };
    const { prediction } = await gateway.client.predict({ app, ...row, fields: { ...row.fields, turns } });
    assert.equal(prediction?.madeBy, MadeBy.BASELINE, prediction?.reason);
    for (const [field, value] of Object.entries(expected)) assert.equal(prediction[field as "value"], value);
    assert.deepEqual([prediction.interval, prediction.predictionSet], [undefined, []]);
  }
});

test("canaries and shadows answer with the task's fields", async () => {
  const [champion, canary, shadow] = await Promise.all(
    [0.1, 0.3, 0.5].map((factor, index) => model(MINUTES, 5 + index, minutesModel(factor), regression)),
  );
  await serve(champion as ModelVersion, { canary: canary as ModelVersion, shadow: shadow as ModelVersion });
  await waitFor(
    async () => {
      const { madeBy, value } = await ask(MINUTES, 100, `s${Math.random()}`);
      assert.deepEqual([madeBy, value && Math.round(value)], [MadeBy.CANARY, 30]);
      return (await gateway.stored()).some((each) => each.madeBy === MadeBy.SHADOW && each.value === 50);
    },
    { what: "the shadow's answer" },
  );
  const copy = (await gateway.stored()).find(({ madeBy, value }) => madeBy === MadeBy.SHADOW && value === 50);
  assert.deepEqual([copy?.interval?.lower, copy?.interval?.upper, copy?.decision], [45, 70, "warn"]);
});

test("a model of another task, of other classes or with other outputs does not serve, and the log says why", async () => {
  const refused = async (version: ModelVersion, why: RegExp): Promise<void> => {
    const deployment = create(DeploymentSchema, { app: version.app, champion: version });
    await (await gateway.bus.keyValue("deployments")).put(version.app, toBinary(DeploymentSchema, deployment));
    await waitFor(() => gateway.errors.some((text) => why.test(text)), { what: String(why) });
  };
  const binary = await model(MINUTES, 11, logisticModel([1, 0, 0]), {});
  await refused(binary, /flight-minutes\/11 answers BINARY; version 3 of flight-minutes asks for REGRESSION/);
  const probability = await model(MINUTES, 12, logisticModel([1, 0, 0]), regression);
  await refused(probability, /outputs are probability FP32 \[-1, 1\]; expected value FP32 \[-1, 1\], lower/);
  const others = await model(KINDS, 13, kindsModel(), { ...multiclass, classes: ["late", "on-time", "very-late"] });
  await refused(others, /answers MULTICLASS of late, on-time, very-late; version 3 .* of on-time, late, very-late/);
  assert.equal((await ask(KINDS, 100)).modelVersion, `${KINDS}/1`);
});
