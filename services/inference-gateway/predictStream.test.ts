import assert from "node:assert/strict";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import type { PredictResult } from "@millrace/proto/millrace/prediction/v1/prediction_service_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { APP, collect, flightRow, sigmoid, TestGateway, testApp } from "./gatewayForTests.ts";
import { countingModel, logisticModel } from "./workers/onnxForTests.ts";

/** Takes about a second to count to. */
const LONG = 1_000_000;

const near = (actual: number | undefined, expected: number): void =>
  assert.ok(Math.abs((actual ?? Number.NaN) - expected) < 1e-6, `${actual} is not ${expected}`);

const message = (...asked: Parameters<typeof flightRow>) => ({ app: APP, row: flightRow(...asked) });
type Message = { readonly app: string; readonly row?: ReturnType<typeof flightRow> };

async function* each(messages: Iterable<Message>) {
  yield* messages;
}

async function answers(gateway: TestGateway, messages: AsyncIterable<Message>): Promise<(PredictResult | undefined)[]> {
  return (await collect(gateway.client.predictStream(messages))).map(({ result }) => result);
}

test("a stream's answers come in the order of its messages", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker" });
  await gateway.serve(await gateway.model(1, logisticModel([1, 0, 0])));
  const messages = Array.from({ length: 1_000 }, (_, index) =>
    message({ flightId: `flight-${index}`, distance: index / 500 - 1 }),
  );
  const results = await answers(gateway, each(messages));
  assert.equal(results.length, 1_000);
  results.forEach((answer, index) => {
    assert.equal(answer?.requestId, `flight-${index}`);
    assert.equal(answer.recorded, true);
    near(answer.result.case === "prediction" ? answer.result.value.probability : undefined, sigmoid(index / 500 - 1));
  });
});

test("a message that is wrong gets an error, and the stream goes on", async () => {
  await using gateway = await TestGateway.start();
  await gateway.serve(await gateway.model(1, logisticModel([1, 0, 0])));
  const messages: Message[] = [
    message({ flightId: "good-1" }),
    message({ flightId: "wrong", origin: "sfo" }),
    { app: "trains", row: flightRow({ flightId: "train" }) },
    { app: APP },
    message({ flightId: "good-2" }),
  ];
  const results = await answers(gateway, each(messages));
  const told = results.map((answer) =>
    answer?.result.case === "error" ? answer.result.value.code : answer?.result.value?.madeBy,
  );
  const { INVALID_ARGUMENT, NOT_FOUND } = status;
  assert.deepEqual(told, [MadeBy.CHAMPION, INVALID_ARGUMENT, NOT_FOUND, INVALID_ARGUMENT, MadeBy.CHAMPION]);
  const wrong = results[1]?.result;
  assert.deepEqual(wrong?.case === "error" && wrong.value.fieldViolations.map(({ field }) => field), ["fields.origin"]);
  assert.equal(results[1]?.requestId, "wrong");
});

test("every message has the app's own deadline, however long the stream lasts", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker" }, testApp(150));
  await gateway.serve(await gateway.model(1, countingModel([1, 0, 0])));
  const times: number[] = [];
  async function* slowly() {
    for (let index = 0; index < 3; index += 1) {
      times.push(performance.now());
      yield message({ flightId: `slow-${index}`, turns: 2 * LONG });
      await waitFor(() => results.length > index);
    }
  }
  const results: PredictResult[] = [];
  for await (const { result } of gateway.client.predictStream(slowly())) {
    if (result === undefined) continue;
    results.push(result);
    const sentAt = times[results.length - 1] as number;
    assert.ok(performance.now() - sentAt < 600, `answered after ${performance.now() - sentAt} ms`);
    assert.equal(result.result.case === "prediction" && result.result.value.madeBy, MadeBy.BASELINE);
  }
  assert.equal(results.length, 3);
});

test("a caller that does not read its answers is not read from for ever", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "inline" });
  await gateway.serve(await gateway.model(1, logisticModel([1, 0, 0])));
  let sent = 0;
  async function* forEver() {
    for (; ; sent += 1) yield message({ flightId: `flood-${sent}` });
  }
  const stream = gateway.client.predictStream(forEver())[Symbol.asyncIterator]();
  assert.equal((await stream.next()).value?.result?.requestId, "flood-0");
  let before = -1;
  // What fits into buffers on the way is sent; then it stands still, although other calls are answered.
  await waitFor(
    async () => {
      const still = sent === before;
      before = sent;
      for (let index = 0; index < 20; index += 1) await gateway.predict();
      return still;
    },
    { what: "the sender to be held up" },
  );
  assert.ok(sent < 50_000, `${sent} messages were taken`);
  const { state } = await gateway.bus.manager.streams.info("PREDICTIONS", { subjects_filter: ">" });
  assert.ok(state.messages < sent + 1_000);
  await stream.return?.();
});

test("a stream whose caller has gone leaves no work behind", async () => {
  await using gateway = await TestGateway.start({ INFERENCE_MODE: "worker" });
  await gateway.serve(await gateway.model(1, countingModel([1, 0, 0])));
  const caller = new AbortController();
  async function* endless() {
    for (let index = 0; ; index += 1) yield message({ flightId: `gone-${index}`, turns: LONG });
  }
  const reading = collect(gateway.client.predictStream(endless(), { signal: caller.signal }));
  const rejected = assert.rejects(reading, { code: "cancelled" });
  await waitFor(async () => (await gateway.predict({ flightId: "late" }, 500)).prediction?.madeBy === MadeBy.BASELINE);
  caller.abort();
  await rejected;
  await waitFor(async () => (await gateway.predict()).prediction?.madeBy === MadeBy.CHAMPION, {
    what: "the worker to be free again",
  });
  assert.ok((await gateway.stored()).filter(({ requestId }) => requestId.startsWith("gone-")).length < 64);
});
