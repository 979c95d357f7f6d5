import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GRPCInferenceService } from "@millrace/proto/inference/grpc_service_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { connectRpc } from "@millrace/rpc";
import { describeError, MillraceError } from "@millrace/runtime";
import { APP, TestGateway, testApp } from "./gatewayForTests.ts";
import { countingModel } from "./workers/onnxForTests.ts";

/** A batch of up to 8 rows counts for some 20 ms, whatever its rows. */
const TURNS = 20_000;
const BATCH = 8;
const APP_DEADLINE_MS = 400;
const GRACE_MS = 500;

type Outcome = { readonly by: "model" | "fallback" | "nobody"; readonly why: string; readonly retryAfterMs?: number };
type Ask = (timeoutMs: number) => Promise<Outcome>;

const stack = new AsyncDisposableStack();
let gateway: TestGateway;

before(async () => {
  const environment = { INFERENCE_MODE: "worker", INFERENCE_WORKERS: "1", INFERENCE_STUCK_MS: "60000" };
  gateway = stack.use(await TestGateway.start(environment, testApp(APP_DEADLINE_MS, { batch: { maxSize: BATCH } })));
  await gateway.serve(await gateway.model(1, countingModel([1, 0, 0])));
});
after(() => stack.disposeAsync());

const failed = (error: unknown): Outcome => {
  const retry = error instanceof MillraceError ? error.retryAfterMs : undefined;
  const why = error instanceof MillraceError ? error.code : describeError(error);
  return { by: "nobody", why, ...(retry === undefined ? {} : { retryAfterMs: retry }) };
};

const predict = (timeoutMs: number, turns = TURNS): Promise<Outcome> =>
  gateway.predict({ turns }, timeoutMs).then(
    ({ prediction }) => ({
      by: prediction?.madeBy === MadeBy.CHAMPION ? "model" : "fallback",
      why: prediction?.reason ?? "",
    }),
    failed,
  );

const isRefused = ({ why }: Outcome): boolean => why === "resource_exhausted";
const byModel = ({ by }: Outcome): boolean => by === "model";

/** Answers a second when there is always a full batch. */
async function capacity(ask: Ask): Promise<number> {
  const startedAt = performance.now();
  const outcomes = await Promise.all(Array.from({ length: 16 * BATCH }, () => ask(30_000)));
  assert.equal(outcomes.every(byModel), true, JSON.stringify(outcomes[0]));
  return (16_000 * BATCH) / (performance.now() - startedAt);
}

/** Milliseconds that the model has run so far. */
async function runMs(): Promise<number> {
  using client = connectRpc(GRPCInferenceService, gateway.server.address, { ownConnection: true });
  const { modelStats } = await client.modelStatistics({ name: APP });
  const runs = modelStats.flatMap(({ batchStats }) => batchStats);
  return runs.reduce((sum, { computeInfer }) => sum + Number(computeInfer?.ns ?? 0n) / 1e6, 0);
}

/** Asks twice as often as can be answered. */
async function overload(ask: Ask): Promise<void> {
  await capacity(ask);
  const perSecond = await capacity(ask);
  // More on a machine that is busy with other things.
  const deadlineMs = Math.max(APP_DEADLINE_MS, (8_000 * BATCH) / perSecond);
  const overloadMs = 5 * deadlineMs;
  const calls: Promise<Outcome & { readonly ms: number }>[] = [];
  const runBefore = await runMs();
  const startedAt = performance.now();
  for (let elapsedMs = 0; elapsedMs < overloadMs; elapsedMs = performance.now() - startedAt) {
    while (calls.length < (2 * perSecond * elapsedMs) / 1_000) {
      const sentAt = performance.now();
      calls.push(ask(deadlineMs).then((outcome) => ({ ...outcome, ms: performance.now() - sentAt })));
    }
    await delay(5);
  }
  const busy = ((await runMs()) - runBefore) / (performance.now() - startedAt);
  const outcomes = await Promise.all(calls);
  const answered = outcomes.filter(byModel).length;
  const refused = outcomes.filter(isRefused);
  const shown = `${answered} answered and ${refused.length} refused of ${outcomes.length}, busy ${busy.toFixed(2)}`;
  assert.ok(busy > 0.6, `the model works all the time: ${shown}`);
  // Half of them, on a machine that does nothing else meanwhile.
  assert.ok(answered > 0.03 * outcomes.length, shown);
  assert.ok(refused.length > 0.1 * outcomes.length, shown);
  assert.ok(answered + refused.length > 0.7 * outcomes.length, shown);
  for (const { why, ms } of outcomes) {
    assert.doesNotMatch(why, /circuit breaker/);
    assert.ok(ms < deadlineMs + GRACE_MS, `${ms} ms`);
  }
  for (const { retryAfterMs = 0 } of refused)
    assert.ok(retryAfterMs >= 1 && retryAfterMs < 2 * deadlineMs, `${retryAfterMs} ms`);
  const afterwards = await Promise.all(Array.from({ length: 8 }, () => ask(deadlineMs)));
  assert.equal(afterwards.every(byModel), true, JSON.stringify(afterwards));
}

test("more calls at once than the thread can answer in time: some are answered, the rest refused at once, and all is well right after", async () => {
  const calls = Array.from({ length: 3_000 }, () => predict(0, 0));
  const outcomes = await Promise.all(calls);
  const refused = outcomes.filter(isRefused);
  const answered = outcomes.filter(({ by }) => by !== "nobody");
  assert.equal(refused.length + answered.length, 3_000);
  assert.ok(answered.length >= 64 && refused.length > 500, `${answered.length} answered, ${refused.length} refused`);
  for (const { retryAfterMs = 0 } of refused)
    assert.ok(retryAfterMs >= 1 && retryAfterMs < 10_000, `${retryAfterMs} ms`);
  const afterwards = await Promise.all(Array.from({ length: 32 }, () => predict(0, 0)));
  assert.equal(afterwards.every(byModel), true, JSON.stringify(afterwards));
});

test("Predict beyond capacity: the model works all the time, the rest is refused at once with a hint, and all is well right after", () =>
  overload(predict));

test("ModelInfer beyond capacity: the same", async () => {
  using client = connectRpc(GRPCInferenceService, gateway.server.address, { ownConnection: true });
  const features = new Uint8Array(Float32Array.of(0, 0, TURNS).buffer);
  const request = {
    modelName: APP,
    inputs: [{ name: "features", datatype: "FP32", shape: [1n, 3n] }],
    rawInputContents: [features],
  };
  await overload((timeoutMs) =>
    client.modelInfer(request, { timeoutMs }).then(() => ({ by: "model", why: "" }), failed),
  );
});
