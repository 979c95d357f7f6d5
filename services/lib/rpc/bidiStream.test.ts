import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  PredictionService,
  PredictResultSchema,
  PredictStreamResponseSchema,
} from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { MillraceError, silentLogger } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { type Call, connectRpc, implement, startRpcServer } from "./mod.ts";

type Handler = Parameters<typeof implement<typeof PredictionService>>[1]["predictStream"];

const serve = (predictStream: NonNullable<Handler>) =>
  startRpcServer({
    address: "127.0.0.1:0",
    services: [implement(PredictionService, { predictStream })],
    logger: silentLogger,
  });

const answer = (requestId: string) =>
  create(PredictStreamResponseSchema, { result: create(PredictResultSchema, { requestId }) });

test("a handler answers after the last request, as many times as it likes", async () => {
  await using server = await serve(async function* (requests) {
    const apps: string[] = [];
    for await (const { app } of requests) apps.push(app);
    for (const app of apps) yield answer(app);
  });
  using client = connectRpc(PredictionService, server.address);
  async function* requests() {
    for (let index = 0; index < 500; index += 1) yield { app: `app-${index}` };
  }
  let expected = 0;
  for await (const { result } of client.predictStream(requests())) {
    assert.equal(result?.requestId, `app-${expected}`);
    expected += 1;
  }
  assert.equal(expected, 500);
});

test("an error that ends a stream keeps its violations and its retry hint", async () => {
  const violation = { field: "app", reason: "unknown", description: 'no app "x"' };
  await using server = await serve(async function* () {
    yield answer("first");
    throw new MillraceError("resource_exhausted", "too much", { violations: [violation], retryAfterMs: 250 });
  });
  using client = connectRpc(PredictionService, server.address);
  const answers: string[] = [];
  const reading = (async () => {
    for await (const { result } of client.predictStream((async function* () {})())) {
      answers.push(result?.requestId ?? "");
    }
  })();
  await assert.rejects(reading, (error: MillraceError) => {
    assert.equal(error.code, "resource_exhausted");
    assert.equal(error.retryAfterMs, 250);
    assert.deepEqual(
      error.violations.map(({ field, reason, description }) => ({ field, reason, description })),
      [violation],
    );
    return true;
  });
  assert.deepEqual(answers, ["first"]);
});

test("when the requests fail, the call ends with their failure, and the handler is told", async () => {
  let call: Call | undefined;
  await using server = await serve(async function* (requests, known) {
    call = known;
    for await (const { app } of requests) yield answer(app);
  });
  using client = connectRpc(PredictionService, server.address);
  async function* requests() {
    yield { app: "one" };
    await waitFor(() => call !== undefined);
    throw new RangeError("no more requests");
  }
  await assert.rejects(async () => {
    for await (const _ of client.predictStream(requests()));
  }, RangeError);
  await waitFor(() => call?.signal.aborted === true);
});
