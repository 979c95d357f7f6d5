import assert from "node:assert/strict";
import { test } from "node:test";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { APP, sigmoid, TestGateway, testApp } from "./gatewayForTests.ts";
import { countingModel, logisticModel } from "./workers/onnxForTests.ts";

const near = (actual: number | undefined, expected: number): void =>
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 1e-6, `${actual} is not ${expected}`);

/** Takes about a second to count to. */
const LONG = 1_000_000;

const ORIGINS = Array.from({ length: 26 * 4 }, (_, index) =>
  String.fromCharCode(65 + (index % 26), 65 + Math.floor(index / 26), 90),
);

/** Which version answers for each origin. */
async function versions(gateway: TestGateway): Promise<Map<string, string>> {
  const answers = ORIGINS.map(async (origin) => {
    const { prediction } = await gateway.predict({ origin });
    const byCanary = prediction?.madeBy === MadeBy.CANARY;
    assert.equal(prediction?.modelVersion, byCanary ? `${APP}/2` : `${APP}/1`);
    return [origin, prediction.modelVersion] as const;
  });
  return new Map(await Promise.all(answers));
}

const ofCanary = (answers: Map<string, string>) =>
  new Set([...answers].filter(([, version]) => version === `${APP}/2`).map(([origin]) => origin));

test("a canary answers for its share of the entities, always the same ones, and more of them when it grows, without a restart", async () => {
  await using gateway = await TestGateway.start({}, testApp(10_000, { canaryBy: "origin" }));
  const champion = await gateway.model(1, logisticModel([1, 0, 0]));
  const model = await gateway.model(2, logisticModel([2, 0, 0]));
  await gateway.serve(champion);
  let before = new Set<string>();
  for (const percent of [10, 40, 100]) {
    await gateway.deploy(champion, undefined, { canary: { model, percent } });
    const chosen = await waitFor(async () => {
      const now = ofCanary(await versions(gateway));
      return now.size > before.size ? now : undefined;
    });
    assert.ok(before.isSubsetOf(chosen));
    assert.deepEqual(ofCanary(await versions(gateway)), chosen);
    const deviation = Math.sqrt(ORIGINS.length * (percent / 100) * (1 - percent / 100));
    assert.ok(
      Math.abs(chosen.size - ORIGINS.length * (percent / 100)) <= 4 * deviation,
      `${chosen.size} at ${percent} %`,
    );
    before = chosen;
  }
  await gateway.deploy(champion);
  await waitFor(async () => ofCanary(await versions(gateway)).size === 0, { what: "the canary to end" });
});

test("a canary that cannot be loaded, and one that fails, cost nobody an answer of the champion", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker", INFERENCE_STUCK_MS: "150" });
  const champion = await gateway.model(1, logisticModel([1, 0, 0]));
  await gateway.serve(champion);
  const noModel = await gateway.model(2, new TextEncoder().encode("this is no ONNX file"));
  await gateway.deploy(champion, undefined, { canary: { model: noModel, percent: 100 } });
  await waitFor(() =>
    gateway.errors.some((text) => /the canary flights\/2 is not adopted: .* are not an ONNX model/.test(text)),
  );
  assert.equal((await gateway.predict()).prediction?.madeBy, MadeBy.CHAMPION);
  const stuck = await gateway.model(3, countingModel([1, 0, 0]));
  await gateway.deploy(champion, undefined, { canary: { model: stuck, percent: 100 } });
  await waitFor(async () => (await gateway.predict()).prediction?.madeBy === MadeBy.CANARY);
  const { prediction } = await gateway.predict({ distance: 1, turns: 4 * LONG }, 8_000);
  assert.equal(prediction?.madeBy, MadeBy.CHAMPION);
  near(prediction.probability, sigmoid(1));
  assert.match(prediction.reason, /flights\/3: .*stuck/);
});

test("a shadow is asked what was asked, and its predictions stand beside those that were answered", async () => {
  await using gateway = await TestGateway.start();
  const champion = await gateway.model(1, logisticModel([1, 0, 0]));
  await gateway.deploy(champion, undefined, { shadow: { model: await gateway.model(2, logisticModel([-1, 0, 0])) } });
  const shadows = async () => (await gateway.stored()).filter(({ madeBy }) => madeBy === MadeBy.SHADOW);
  await waitFor(async () => {
    assert.notEqual((await gateway.predict()).prediction?.modelVersion, `${APP}/2`);
    return (await shadows()).length > 0;
  });
  const { prediction } = await gateway.predict({ flightId: "both", distance: 1 });
  const shadow = await waitFor(async () => (await shadows()).find(({ requestId }) => requestId === "both"));
  assert.equal(prediction?.madeBy, MadeBy.CHAMPION);
  near(prediction.probability, sigmoid(1));
  near(shadow.probability, sigmoid(-1));
  assert.deepEqual([prediction.decision, shadow.decision], ["warn", "ok"]);
  assert.equal(shadow.modelVersion, `${APP}/2`);
  assert.notEqual(shadow.id, prediction.id);
  for (const same of ["joinKey", "requestId", "app", "features", "featuresAsOf", "occurredAt"] as const) {
    assert.deepEqual(shadow[same], prediction[same], same);
  }
  // The same request again gets the stored answer, and no second copy.
  await gateway.predict({ flightId: "both", distance: 1 });
  await gateway.predict({ flightId: "after", distance: 1 });
  await waitFor(async () => (await shadows()).some(({ requestId }) => requestId === "after"));
  assert.equal((await shadows()).filter(({ requestId }) => requestId === "both").length, 1);
});

test("a shadow that never ends neither delays nor fails anybody, and can be taken away", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker", INFERENCE_WORKERS: "1" });
  const champion = await gateway.model(1, logisticModel([1, 0, 0]));
  await gateway.serve(champion);
  await gateway.deploy(champion, undefined, { shadow: { model: await gateway.model(2, countingModel([1, 0, 0])) } });
  await waitFor(async () => {
    await gateway.predict();
    return (await gateway.stored()).some(({ madeBy }) => madeBy === MadeBy.SHADOW);
  });
  // The shadow counts for four seconds; it would hold up the only worker of the others.
  await gateway.predict({ flightId: "first", turns: 4 * LONG });
  for (let index = 0; index < 30; index += 1) {
    const { prediction } = await gateway.predict({ flightId: `next-${index}`, turns: 4 * LONG }, 1_500);
    assert.equal(prediction?.madeBy, MadeBy.CHAMPION);
    assert.equal(prediction.reason, "");
  }
  await gateway.deploy(champion);
  await gateway.predict();
  const served = (await gateway.stored()).filter(({ requestId }) => requestId.startsWith("next-"));
  assert.deepEqual(new Set(served.map(({ madeBy }) => madeBy)), new Set([MadeBy.CHAMPION]));
});

test("a shadow gets a copy of its share of the questions only", async () => {
  await using gateway = await TestGateway.start();
  const champion = await gateway.model(1, logisticModel([1, 0, 0]));
  await gateway.serve(champion);
  const model = await gateway.model(2, logisticModel([-1, 0, 0]));
  await gateway.deploy(champion, undefined, { shadow: { model, percent: 25 } });
  const shadows = async () => (await gateway.stored()).filter(({ madeBy }) => madeBy === MadeBy.SHADOW);
  await waitFor(async () => {
    await gateway.predict();
    return (await shadows()).length > 0;
  });
  await Promise.all(Array.from({ length: 200 }, (_, index) => gateway.predict({ flightId: `n-${index}` })));
  const copies = await waitFor(async () => {
    const found = (await shadows()).filter(({ requestId }) => requestId.startsWith("n-")).length;
    return found >= 25 ? found : undefined;
  });
  assert.ok(copies <= 75, `${copies} of 200`);
});
