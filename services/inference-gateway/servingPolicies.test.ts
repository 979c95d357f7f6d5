import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type AppVersion, ServingSchema, WhenMissing } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { MillraceError } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { APP, flightRow, sigmoid, TestGateway, testApp, WATERMARK_MS } from "./gatewayForTests.ts";
import { checkMissing, compileMissing } from "./missingFeatures.ts";
import { countingModel, logisticModel } from "./workers/onnxForTests.ts";

const near = (actual: number | undefined, expected: number): void =>
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 1e-6, `${actual} is not ${expected}`);

/** Its `turns` follows a policy of its own. */
function appWithTurns(whenMissing: WhenMissing): AppVersion {
  const app = testApp();
  const turns = app.app?.features["turns"];
  if (turns !== undefined) turns.whenMissing = whenMissing;
  return app;
}

test("the answer tells its band, and how old the features were", async () => {
  const serving = {
    decisions: [
      { name: "call", cost: { positive: 1, negative: 1 } },
      { name: "ignore", cost: { positive: 4, negative: 0 } },
    ],
    abstain: { from: 0.2, to: 0.3, decision: "ask" },
  };
  await using gateway = await TestGateway.start({}, testApp(10_000, serving));
  await gateway.serve(await gateway.model(1, logisticModel([1, 0, 0])));
  const decided = async (probability: number) => {
    const { prediction } = await gateway.predict({ distance: Math.log(probability / (1 - probability)) });
    near(prediction?.probability, probability);
    const { lower, upper, abstain } = prediction?.band ?? {};
    return [prediction?.decision, lower, upper, abstain];
  };
  assert.deepEqual(await decided(0.1), ["ignore", 0, 0.2, false]);
  assert.deepEqual(await decided(0.21), ["ask", 0.2, 0.3, true]);
  assert.deepEqual(await decided(0.29), ["ask", 0.2, 0.3, true]);
  assert.deepEqual(await decided(0.9), ["call", 0.3, 1, false]);
  const later = { ...flightRow(), occurredAt: timestampFromMs(WATERMARK_MS + 1_500) };
  assert.equal((await gateway.client.predict({ app: APP, ...later })).prediction?.featuresAgeMs, 1_500n);
  assert.equal((await gateway.predict()).prediction?.featuresAgeMs, 0n);
});

test("a feature that is missing is the model's to impute, or makes a fallback, or a refusal that names it", async () => {
  for (const policy of [WhenMissing.UNSPECIFIED, WhenMissing.IMPUTE, WhenMissing.FALL_BACK, WhenMissing.REFUSE]) {
    await using gateway = await TestGateway.start({}, appWithTurns(policy));
    const model = await gateway.model(1, logisticModel([1, 0, 1]), 0.75);
    await gateway.deploy(model);
    await waitFor(async () => (await gateway.predict({ turns: 1 })).prediction?.madeBy === MadeBy.CHAMPION);
    const lacking = gateway.predict({ flightId: "lacking", distance: 1 });
    if (policy === WhenMissing.REFUSE) {
      await assert.rejects(lacking, (error: MillraceError) => {
        assert.equal(error.code, "failed_precondition");
        assert.deepEqual(
          error.violations.map(({ field, reason }) => [field, reason]),
          [["features.turns", "feature_missing"]],
        );
        return true;
      });
      assert.equal(
        (await gateway.stored()).some(({ requestId }) => requestId === "lacking"),
        false,
      );
    } else if (policy === WhenMissing.FALL_BACK) {
      const { prediction } = await lacking;
      assert.deepEqual([prediction?.madeBy, prediction?.probability], [MadeBy.BASELINE, 0.75]);
      assert.equal(prediction?.reason, "missing: turns");
    } else {
      const { prediction } = await lacking;
      assert.equal(prediction?.madeBy, MadeBy.CHAMPION);
      near(prediction.probability, sigmoid(1));
    }
  }
});

test("questions that lack every feature: imputed, answered by a fallback, or refused, as each feature's policy or the app's says", () => {
  const names = ["distance", "origin_flights_1h", "turns"];
  const nothing = new Float64Array(3).fill(Number.NaN);
  const app = (whenMissing: WhenMissing, ofTurns: WhenMissing = WhenMissing.UNSPECIFIED) => {
    const { app: made } = appWithTurns(ofTurns);
    assert.ok(made?.serving);
    made.serving = create(ServingSchema, { ...made.serving, whenMissing });
    return compileMissing(made, names);
  };
  assert.equal(checkMissing(app(WhenMissing.UNSPECIFIED), nothing), undefined);
  assert.equal(checkMissing(app(WhenMissing.IMPUTE), nothing), undefined);
  assert.equal(checkMissing(app(WhenMissing.FALL_BACK), nothing), `missing: ${names.join(", ")}`);
  assert.throws(() => checkMissing(app(WhenMissing.REFUSE), nothing), {
    code: "failed_precondition",
    message: `missing: ${names.join(", ")}`,
  });
  assert.equal(checkMissing(app(WhenMissing.IMPUTE, WhenMissing.FALL_BACK), nothing), "missing: turns");
  assert.equal(checkMissing(app(WhenMissing.REFUSE, WhenMissing.IMPUTE), Float64Array.of(1, 2, Number.NaN)), undefined);
  const away = "features are not followed";
  assert.equal(checkMissing(app(WhenMissing.IMPUTE), away), away);
  assert.throws(() => checkMissing(app(WhenMissing.IMPUTE, WhenMissing.REFUSE), away), { code: "unavailable" });
});

test("equal questions at once make one run, and each is decided, recorded and told that it was not run for", async () => {
  const cache = { ttl: durationFromMs(60_000) };
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker" }, testApp(10_000, { cache }));
  await gateway.serve(await gateway.model(1, countingModel([1, 0, 0])));
  // Each takes a fifth of a second: one after the other they would take four.
  const asked = Array.from({ length: 20 }, (_, index) =>
    gateway.predict({ flightId: `same-${index}`, distance: 1, turns: 200_000 }),
  );
  const answers = await Promise.all(asked);
  assert.equal(answers.filter(({ prediction }) => prediction?.cached === false).length, 1);
  assert.equal(new Set(answers.map(({ prediction }) => prediction?.probability)).size, 1);
  assert.equal(new Set(answers.map(({ prediction }) => prediction?.id)).size, 20);
  for (const { prediction } of answers) assert.equal(prediction?.madeBy, MadeBy.CHAMPION);
  const stored = (await gateway.stored()).filter(({ requestId }) => requestId.startsWith("same-"));
  assert.equal(stored.length, 20);
  assert.equal((await gateway.predict({ flightId: "other", distance: 2 })).prediction?.cached, false);
  assert.equal((await gateway.predict({ flightId: "again", distance: 2 })).prediction?.cached, true);
  // Another version knows nothing of it.
  await gateway.serve(await gateway.model(2, logisticModel([2, 0, 0])));
  const { prediction } = await gateway.predict({ flightId: "new", distance: 2 });
  assert.equal(prediction?.cached, false);
  near(prediction.probability, sigmoid(4));
});
