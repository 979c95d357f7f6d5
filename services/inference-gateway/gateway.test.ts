import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { compileFeatures, FeatureEngine } from "@millrace/features";
import { type App, AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type EntityState, EntityStateSchema } from "@millrace/proto/millrace/feature/v1/entity_state_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { APP, FEATURES, flightRow, sigmoid, TestGateway, testApp, WATERMARK_MS } from "./gatewayForTests.ts";
import { countingModel, logisticModel } from "./workers/onnxForTests.ts";

const near = (actual: number | undefined, expected: number): void =>
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 1e-6, `${actual} is not ${expected}`);

/** Takes about a second to count to. */
const LONG = 1_000_000;

test("an app without a model is answered by its constant, which says so", async () => {
  await using gateway = await TestGateway.start();
  const { prediction, recorded } = await gateway.predict();
  assert.equal(recorded, true);
  assert.equal(prediction?.madeBy, MadeBy.CONSTANT);
  assert.equal(prediction.probability, 0.125);
  assert.equal(prediction.decision, "ok");
  assert.equal(prediction.reason, "no model has been trained yet");
  assert.equal(prediction.modelVersion, "");
  assert.deepEqual(await gateway.stored(), [prediction]);
});

test("the champion answers with its probability, its decision, its inputs and their freshness", async () => {
  for (const INFERENCE_MODE of ["inline", "worker"]) {
    await using gateway = await TestGateway.start({ INFERENCE_MODE });
    await gateway.serve(await gateway.model(7, logisticModel([1, 0, 1], 0.5)));
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        gateway.predict({ flightId: `flight-${index}`, distance: index / 50 - 1 }),
      ),
    );
    answers.forEach(({ prediction, recorded }, index) => {
      assert.equal(recorded, true);
      assert.equal(prediction?.requestId, `flight-${index}`);
      assert.equal(prediction.joinKey, `flight-${index}`);
      near(prediction.probability, sigmoid(index / 50 - 1 + 0.5));
      assert.equal(prediction.decision, index / 50 - 1 + 0.5 >= 0 ? "warn" : "ok");
      assert.equal(prediction.madeBy, MadeBy.CHAMPION);
      assert.equal(prediction.modelVersion, `${APP}/7`);
      assert.equal(prediction.appVersion, 3);
      assert.equal(prediction.reason, "");
      assert.equal(prediction.features.length, FEATURES.length);
      assert.equal(prediction.features[0], index / 50 - 1);
      assert.ok(Number.isNaN(prediction.features[2]), "a field that is missing is a missing feature");
      assert.equal(prediction.featuresAsOf && timestampMs(prediction.featuresAsOf), WATERMARK_MS);
    });
    const ids = new Set((await gateway.stored()).map(({ id }) => id));
    for (const { prediction } of answers) assert.ok(ids.has(prediction?.id ?? ""), "every answer is stored");
  }
});

test("windowed features are those of the feature engine, as far as the watermark, for the origin that was asked about", async () => {
  await using gateway = await TestGateway.start();
  await gateway.serve(await gateway.model(1, logisticModel([0, 0.5, 0])));
  const engine = new FeatureEngine(compileFeatures(testApp().app as App));
  const origin = (value: string) => create(ValueSchema, { kind: { case: "stringValue", value } });
  for (let minutes = 1; minutes <= 30; minutes += 1) {
    const at = WATERMARK_MS - minutes * 60_000;
    engine.applyFields("flight.scheduled", { origin: origin(minutes % 3 === 0 ? "LAX" : "SFO") }, at, at);
  }
  for (const key of ["origin.SFO", "origin.LAX"]) {
    await gateway.features.put(key, toBinary(EntityStateSchema, engine.encode(key) as EntityState));
  }
  const counts = { SFO: 20, LAX: 10, JFK: 0 };
  for (const [airport, count] of Object.entries(counts)) {
    const prediction = await waitFor(async () => {
      const answer = (await gateway.predict({ origin: airport })).prediction;
      return answer?.features[1] === count ? answer : undefined;
    });
    near(prediction.probability, sigmoid(count / 2));
    assert.equal(prediction.madeBy, MadeBy.CHAMPION);
  }
});

test("a repeated request gets the prediction that was stored the first time", async () => {
  await using gateway = await TestGateway.start();
  await gateway.serve(await gateway.model(1, logisticModel([1, 0, 0])));
  const first = await gateway.predict({ flightId: "same", distance: 1 });
  await gateway.serve(await gateway.model(2, logisticModel([-1, 0, 0])));
  const second = await gateway.predict({ flightId: "same", distance: 1 });
  assert.deepEqual(second.prediction, first.prediction);
  assert.equal(second.recorded, true);
  assert.equal((await gateway.stored()).filter(({ requestId }) => requestId === "same").length, 1);
});

test("an unknown app is not found, by name, and one that cannot be served says why", async () => {
  await using gateway = await TestGateway.start();
  await assert.rejects(gateway.client.predict({ app: "trains" }), (error: MillraceError) => {
    assert.equal(error.code, "not_found");
    assert.match(error.message, /No app "trains".*Known: flights/);
    return true;
  });
  const { app, ...version } = testApp();
  const trains = create(AppVersionSchema, { ...version, app: { ...(app as App), app: "trains" } });
  delete trains.app?.label;
  await (await gateway.bus.keyValue("apps")).put("trains", toBinary(AppVersionSchema, trains));
  const code = await waitFor(async () => {
    const refused = await gateway.client.predict({ app: "trains" }).catch((error: MillraceError) => error);
    return refused instanceof MillraceError && refused.code !== "not_found" ? refused : undefined;
  });
  assert.equal(code.code, "failed_precondition");
  assert.match(code.message, /app trains: serving, prediction or label is missing/);
});

test("every wrong field is named with its rule and its value", async () => {
  await using gateway = await TestGateway.start();
  const request = {
    app: APP,
    requestId: "with space",
    fields: {
      origin: { kind: { case: "stringValue" as const, value: "sfo" } },
      distance: { kind: { case: "doubleValue" as const, value: 7_000 } },
      turns: { kind: { case: "stringValue" as const, value: "many" } },
    },
  };
  await assert.rejects(gateway.client.predict(request), (error: MillraceError) => {
    assert.equal(error.code, "invalid_argument");
    const byField = new Map(error.violations.map(({ field, description }) => [field, description]));
    assert.deepEqual([...byField.keys()].sort(), [
      "fields.distance",
      "fields.flight_id",
      "fields.origin",
      "fields.turns",
      "request_id",
    ]);
    assert.match(byField.get("fields.distance") ?? "", /6000.*7000/);
    assert.match(byField.get("fields.origin") ?? "", /\[A-Z\]\{3\}.*sfo/);
    assert.match(byField.get("fields.turns") ?? "", /many/);
    return true;
  });
  assert.deepEqual(await gateway.stored(), []);
});

test("a model file that is corrupt, no model, or another app's is not adopted, and what served goes on", async () => {
  await using gateway = await TestGateway.start();
  await gateway.serve(await gateway.model(1, logisticModel([1, 0, 0])));
  const corrupt = await gateway.model(2, logisticModel([2, 0, 0]));
  await (await gateway.bus.objects("models")).putBlob({ name: corrupt.artefact }, new Uint8Array([1, 2, 3]));
  const noModel = await gateway.model(3, new TextEncoder().encode("this is no ONNX file"));
  const misfit = await gateway.model(4, logisticModel([1, 0]));
  const foreign = {
    ...(await gateway.model(5, logisticModel([1, 0, 0]))),
    featureNames: ["distance", "height", "turns"],
  };
  const refused: [ModelVersion, RegExp][] = [
    [corrupt, /flights\/2 is not adopted: The model file \w+ is corrupt: its 3 bytes have the SHA-256/],
    [noModel, /flights\/3 is not adopted: .* are not an ONNX model/],
    [misfit, /flights\/4 is not adopted: the model does not fit: its inputs are features FP32 \[-1, 2\]/],
    [foreign, /flights\/5 needs height, which version 3 of flights does not have; flights\/1 goes on serving/],
  ];
  for (const [model, why] of refused) {
    await gateway.deploy(model);
    await waitFor(() => gateway.errors.some((text) => why.test(text)), { what: `a log line like ${why}` });
    assert.equal((await gateway.predict()).prediction?.modelVersion, `${APP}/1`);
  }
  await gateway.serve(await gateway.model(6, logisticModel([3, 0, 0])));
});

test("where the first champion seen is corrupt, the version before it answers as a fallback, and says why", async () => {
  await using gateway = await TestGateway.start();
  const corrupt = await gateway.model(2, logisticModel([2, 0, 0]));
  await (await gateway.bus.objects("models")).putBlob({ name: corrupt.artefact }, new Uint8Array([1, 2, 3]));
  await gateway.deploy(corrupt, await gateway.model(1, logisticModel([1, 0, 0])));
  const prediction = await waitFor(async () => {
    const answer = (await gateway.predict({ distance: 1 })).prediction;
    return answer?.madeBy === MadeBy.PREVIOUS ? answer : undefined;
  });
  near(prediction.probability, sigmoid(1));
  assert.equal(prediction.modelVersion, `${APP}/1`);
  assert.match(prediction.reason, /flights\/2 is not adopted: The model file \w+ is corrupt/);
});

test("a model whose file is not there yet is adopted as soon as it is, and holds up nothing", async () => {
  await using gateway = await TestGateway.start();
  const onnx = logisticModel([1, 0, 0]);
  const model = { ...(await gateway.model(1, onnx)) };
  const store = await gateway.bus.objects("models");
  await store.delete(model.artefact);
  await gateway.deploy(model);
  await waitFor(() => gateway.errors.some((text) => /flights\/1 is not adopted: .*; trying again/.test(text)));
  const { prediction } = await gateway.predict();
  assert.equal(prediction?.madeBy, MadeBy.BASELINE);
  await store.putBlob({ name: model.artefact }, onnx);
  await waitFor(async () => (await gateway.predict()).prediction?.modelVersion === `${APP}/1`);
});

test("models are swapped under load without a failed or a wrong answer", async () => {
  for (const INFERENCE_MODE of ["inline", "worker"]) {
    await using gateway = await TestGateway.start({ INFERENCE_MODE });
    const weights = [1, 2, 3, 4];
    const models = await Promise.all(weights.map((weight) => gateway.model(weight, logisticModel([weight, 0, 0]))));
    await gateway.serve(models[0] as (typeof models)[0]);
    const load = { over: false, answers: 0 };
    const clients = Array.from({ length: 8 }, async () => {
      while (!load.over) {
        const { prediction } = await gateway.predict({ distance: 1 });
        assert.equal(prediction?.madeBy, MadeBy.CHAMPION);
        near(prediction.probability, sigmoid(Number(prediction.modelVersion.split("/")[1])));
        load.answers += 1;
      }
    });
    for (const [index, model] of models.entries()) {
      await gateway.serve(model, models[index - 1]);
    }
    load.over = true;
    await Promise.all(clients);
    assert.ok(load.answers > 20);
  }
});

test("a champion that does not answer in time is replaced by the version before it, then by the base rate", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker", INFERENCE_STUCK_MS: "150" });
  const previous = await gateway.model(1, logisticModel([1, 0, 0]));
  await gateway.serve(await gateway.model(2, countingModel([2, 0, 0]), 0.75), previous);
  const startedAt = performance.now();
  const { prediction } = await gateway.predict({ distance: 1, turns: LONG }, 4_000);
  assert.ok(performance.now() - startedAt < 4_000, "inside the deadline");
  assert.equal(prediction?.madeBy, MadeBy.PREVIOUS);
  near(prediction.probability, sigmoid(1));
  assert.match(prediction.reason, /flights\/2: .*stuck for over 150 ms/);
  await gateway.deploy(await gateway.model(3, countingModel([3, 0, 0]), 0.75));
  await waitFor(async () => (await gateway.predict()).prediction?.modelVersion === `${APP}/3`);
  const baseline = await gateway.predict({ turns: LONG }, 120);
  assert.equal(baseline.prediction?.madeBy, MadeBy.BASELINE);
  assert.equal(baseline.prediction.probability, 0.75);
  assert.equal(baseline.prediction.modelVersion, "");
  assert.match(baseline.prediction.reason, /flights\/3: the model did not answer after \d+ ms/);
});

test("a champion that fails again and again is not asked for a while", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker", INFERENCE_STUCK_MS: "40" });
  await gateway.serve(await gateway.model(1, countingModel([1, 0, 0])));
  for (let failures = 0; failures < 6; failures += 1) {
    const { prediction } = await gateway.predict({ turns: LONG / 10 }, 2_000);
    assert.equal(prediction?.madeBy, MadeBy.BASELINE);
    if (/circuit breaker is open/.test(prediction.reason)) break;
  }
  assert.match((await gateway.predict()).prediction?.reason ?? "", /flights\/1: its circuit breaker is open/);
  await waitFor(async () => (await gateway.predict()).prediction?.madeBy === MadeBy.CHAMPION, {
    what: "the breaker to close again",
  });
});

test("calls without a deadline get the app's", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker" }, testApp(100));
  await gateway.serve(await gateway.model(1, countingModel([1, 0, 0])));
  const startedAt = performance.now();
  const { prediction } = await gateway.predict({ turns: LONG }, 0);
  assert.equal(prediction?.madeBy, MadeBy.BASELINE);
  assert.ok(performance.now() - startedAt < 500);
});

test("nothing is stored for a caller who has gone before the answer", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker", INFERENCE_STUCK_MS: "60000" });
  await gateway.serve(await gateway.model(1, countingModel([1, 0, 0])));
  const impatient = new AbortController();
  const gone = gateway.predict({ flightId: "gone", turns: 2 * LONG }, 10_000, impatient.signal);
  const rejected = assert.rejects(gone, (error: MillraceError) => error.code === "cancelled");
  // It has arrived when this one, sent after it, is answered.
  const late = await gateway.predict({ flightId: "late" }, 400);
  assert.equal(late.prediction?.madeBy, MadeBy.BASELINE);
  impatient.abort();
  await rejected;
  // The worker has finished with both when it answers again.
  await waitFor(async () => (await gateway.predict()).prediction?.madeBy === MadeBy.CHAMPION);
  const requests = (await gateway.stored()).map(({ requestId }) => requestId);
  assert.ok(requests.includes("late") && !requests.includes("gone"), requests.join(" "));
});

test("when the bus does not confirm, the answer comes in time and says so, and is stored once the bus is back", async () => {
  await using gateway = await TestGateway.start({ FEATURE_CACHE_GRACE_MS: "60000" });
  await gateway.serve(await gateway.model(1, logisticModel([1, 0, 0])));
  const { config } = await gateway.bus.manager.streams.info("PREDICTIONS");
  await gateway.bus.manager.streams.delete("PREDICTIONS");
  const startedAt = performance.now();
  const { prediction, recorded } = await gateway.predict({ flightId: "unlucky", distance: 1 }, 1_000);
  assert.ok(performance.now() - startedAt < 1_000);
  assert.equal(recorded, false);
  assert.equal(prediction?.madeBy, MadeBy.CHAMPION);
  const again = await gateway.predict({ flightId: "unlucky", distance: 2 }, 1_000);
  assert.deepEqual(again.prediction, prediction, "the same request gets the same prediction");
  const rows = ["row-1", "row-2"].map((flightId) => flightRow({ flightId }));
  const { results } = await gateway.client.predictBatch({ app: APP, rows }, { timeoutMs: 1_000 });
  assert.deepEqual(
    results.map((result) => result.recorded),
    [false, false],
  );
  const repeated = await gateway.client.predictBatch({ app: APP, rows }, { timeoutMs: 1_000 });
  assert.deepEqual(repeated.results, results, "the same rows get the same predictions");
  await gateway.bus.manager.streams.add(config);
  await waitFor(async () => (await gateway.stored()).length >= 3, { what: "the predictions to be stored" });
  const stored = (await gateway.stored()).map(({ requestId }) => requestId);
  assert.deepEqual(stored.sort(), ["row-1", "row-2", "unlucky"], "each of them once");
});

test("a queue that is full refuses at once and says when to come again, and serves as before afterwards", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker", MAX_CALLS: "20" });
  await gateway.serve(await gateway.model(1, countingModel([1, 0, 0])));
  const calls = await Promise.allSettled(Array.from({ length: 40 }, () => gateway.predict({ turns: LONG / 4 }, 5_000)));
  const refused = calls.filter((call) => call.status === "rejected").map(({ reason }) => reason as MillraceError);
  assert.equal(refused.length, 20);
  for (const error of refused) {
    assert.equal(error.code, "resource_exhausted");
    assert.ok((error.retryAfterMs ?? 0) > 0);
  }
  await waitFor(async () => (await gateway.predict()).prediction?.madeBy === MadeBy.CHAMPION);
});
