import assert from "node:assert/strict";
import { test } from "node:test";
import { status } from "@grpc/grpc-js";
import { randomNumbers } from "@millrace/metrics";
import { countingModel } from "../../services/inference-gateway/workers/onnxForTests.ts";
import { ConformanceGateway } from "./conformanceGateway.ts";
import {
  type Answer,
  floatsOf,
  type InferenceClient,
  int64Parameter,
  outputsOf,
  rawOf,
  type Tensor,
  uint64Parameter,
} from "./inferenceClient.ts";
import { arithmetic, concat, heavy, identity, parsing } from "./models.ts";
import { text } from "./wire.ts";

/** Counting so far takes about half a second. */
const LONG = 500_000;
const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));

/** Rows for the counting model: it counts to the largest `turns` of its batch, then answers sigmoid(value + turns). */
const rows = (...values: [value: number, turns: number][]): Tensor[] => [
  { name: "features", datatype: "FP32", shape: [values.length, 2], raw: rawOf(Float32Array.from(values.flat())) },
];
/** One worker, which takes its next batch ahead at once. */
async function start(environment: Record<string, string> = {}, maxBatchSize = 64): Promise<ConformanceGateway> {
  const one = { INFERENCE_MODE: "worker", INFERENCE_WORKERS: "1", INFERENCE_STUCK_MS: "60000" };
  const system = await ConformanceGateway.start({}, { ...one, ...environment });
  const batching = { max_batch_size: maxBatchSize, dynamic_batching: { max_queue_delay_microseconds: 0 } };
  await system.load("counting", countingModel([1, 0]), batching);
  return system;
}
/** Gives the only worker a long run, and the next one ahead: whatever comes then waits in the queue. Returns both answers. */
async function busy(client: InferenceClient, turns = LONG): Promise<Promise<Answer>[]> {
  const first = client.infer("counting", rows([0, turns]));
  await arrival(client);
  const ahead = client.infer("counting", rows([0, 0]));
  await arrival(client);
  return [first, ahead];
}
/** What was sent before has been handed over: calls on one connection arrive in their order, a turn of the loop apart. */
async function arrival(client: InferenceClient): Promise<void> {
  for (let call = 0; call < 5; call += 1) await client.call("ServerLive");
}
const milliseconds = async (call: Promise<Answer>): Promise<[Answer, number]> => {
  const startedAt = performance.now();
  const answer = await call;
  return [answer, performance.now() - startedAt];
};
const probability = ({ message }: Answer): number => floatsOf(outputsOf(message).get("probability")?.raw)[0] as number;

test("a request that expires in the queue is answered then, not after the run before it, and is never run", async () => {
  await using system = await start();
  const { client } = system;
  const before = await busy(client);
  const parameters = { timeout: int64Parameter(50_000) };
  const [expired, waited] = await milliseconds(client.infer("counting", rows([3, 0]), { parameters }));
  assert.equal(expired.code, status.DEADLINE_EXCEEDED);
  assert.match(expired.details, /still waited for a worker/);
  assert.ok(waited < 400, `${waited} ms`);
  for (const answer of before) assert.equal((await answer).code, status.OK);
  assert.equal((await client.infer("counting", rows([3, 0]), { parameters })).code, status.OK);
  const [stats] = (await client.call("ModelStatistics", text(1, "counting"))).message.messages(1);
  assert.deepEqual([stats?.number(4), stats?.message(6).message(2).number(1)], [3n, 1n], "rows run, requests failed");
});

test("a call's deadline holds in the queue and in the run", async () => {
  await using system = await start();
  const { client } = system;
  const [running, waited] = await milliseconds(client.infer("counting", rows([0, LONG]), {}, 60));
  assert.equal(running.code, status.DEADLINE_EXCEEDED);
  assert.ok(waited < 400, `${waited} ms`);
  const [queued, waitedToo] = await milliseconds(client.infer("counting", rows([0, 0]), {}, 60));
  assert.equal(queued.code, status.DEADLINE_EXCEEDED);
  assert.ok(waitedToo < 400, `${waitedToo} ms`);
});

test("a more important request overtakes those that wait", async () => {
  await using system = await start({}, 1);
  const { client } = system;
  const order: string[] = [];
  const ask = async (name: string, priority: number): Promise<void> => {
    // Long enough for the answers to come one by one.
    await client.infer("counting", rows([0, LONG / 20]), { parameters: { priority: uint64Parameter(priority) } });
    order.push(name);
  };
  const before = await busy(client);
  await Promise.all([...before, ask("last", 5), ask("default", 0), ask("second", 2), ask("first", 1)]);
  assert.deepEqual(order, ["first", "second", "default", "last"]);
});

test("an overload is refused at once with a hint when to come again, and is over as soon as the queue is", async () => {
  await using system = await start();
  const { client } = system;
  const before = await busy(client, 3 * LONG);
  const calls = Array.from({ length: 1_500 }, () => milliseconds(client.infer("counting", rows([1, 0]))));
  const answers = await Promise.all(calls);
  const refused = answers.filter(([{ code }]) => code === status.RESOURCE_EXHAUSTED);
  const answered = answers.filter(([{ code }]) => code === status.OK);
  assert.equal(refused.length + answered.length, 1_500);
  assert.ok(answered.length >= 1_024 && refused.length > 0, `${answered.length} answered`);
  for (const [{ details }] of refused) assert.match(details, /requests wait already; try again in \d+ ms/);
  for (const [answer] of answered) assert.ok(Math.abs(probability(answer) - sigmoid(1)) < 1e-6);
  const soonest = Math.min(...refused.map(([, waited]) => waited));
  assert.ok(soonest < Math.min(...answered.map(([, waited]) => waited)), "refused before anything was answered");
  await Promise.all(before);
  const [after, waited] = await milliseconds(client.infer("counting", rows([1, 0])));
  assert.equal(after.code, status.OK);
  assert.ok(waited < 300, `${waited} ms after the overload`);
});

test("in an overload a more important request takes the place of a less important one", async () => {
  await using system = await start();
  const { client } = system;
  const before = await busy(client);
  const full = Array.from({ length: 16 }, () =>
    client.infer("counting", rows(...Array.from({ length: 64 }, (): [number, number] => [1, 0]))),
  );
  await arrival(client);
  const equal = await client.infer("counting", rows([1, 0]));
  assert.equal(equal.code, status.RESOURCE_EXHAUSTED);
  const urgent = client.infer("counting", rows([2, 0]), { parameters: { priority: uint64Parameter(1) } });
  const answers = await Promise.all(full);
  const displaced = answers.filter(({ code }) => code === status.RESOURCE_EXHAUSTED);
  assert.equal(displaced.length, 1);
  assert.match(displaced[0]?.details ?? "", /a more important request took this one's place; try again in/);
  assert.ok(Math.abs(probability(await urgent) - sigmoid(2)) < 1e-6);
  await Promise.all(before);
});

test("a stuck worker is given up: its requests fail as unavailable, others are answered by another", async () => {
  await using system = await start({ INFERENCE_STUCK_MS: "150" });
  const { client } = system;
  const [stuck, waited] = await milliseconds(client.infer("counting", rows([0, 4 * LONG])));
  assert.equal(stuck.code, status.UNAVAILABLE, stuck.details);
  assert.match(stuck.details, /stuck for over 150 ms/);
  assert.ok(waited < 1_500, `${waited} ms`);
  const answer = await client.infer("counting", rows([1, 0]));
  assert.equal(answer.code, status.OK, answer.details);
  assert.ok(Math.abs(probability(answer) - sigmoid(1)) < 1e-6);
});

test("a request with values that its model refuses fails alone, not with the batch that it came into", async () => {
  await using system = await ConformanceGateway.start({ numbers: parsing() }, { INFERENCE_MODE: "worker" });
  const send = (word: string): Promise<Answer> => {
    const bytes = new TextEncoder().encode(word);
    const raw = Uint8Array.from([bytes.length, 0, 0, 0, ...bytes]);
    return system.client.infer("numbers", [{ name: "x", datatype: "BYTES", shape: [1, 1], raw }]);
  };
  const answers = await Promise.all(Array.from({ length: 40 }, (_, index) => send(index === 17 ? "x" : String(index))));
  for (const [index, { code, message, details }] of answers.entries()) {
    if (index === 17) assert.notEqual(code, status.OK);
    else {
      assert.equal(code, status.OK, details);
      assert.deepEqual(floatsOf(outputsOf(message).get("y")?.raw), [index]);
    }
  }
});

test("models are swapped under load without a failed or a wrong answer", async () => {
  for (const INFERENCE_MODE of ["inline", "worker"]) {
    await using system = await ConformanceGateway.start({ swapped: heavy(4, 1) }, { INFERENCE_MODE });
    const { client } = system;
    const state = { swapping: true, answers: 0 };
    const caller = async (value: number): Promise<void> => {
      const tensor = { name: "x", datatype: "FP32", shape: [1, 4], raw: rawOf(Float32Array.of(value, 0, 0, 0)) };
      while (state.swapping) {
        const { code, details, message } = await client.infer("swapped", [tensor]);
        assert.equal(code, status.OK, details);
        const [first] = floatsOf(outputsOf(message).get("y")?.raw);
        assert.ok(first === value / 2 || first === value / 4, `${first} for ${value}`);
        state.answers += 1;
      }
    };
    const callers = Promise.all(Array.from({ length: 16 }, (_, index) => caller(8 * (index + 1))));
    for (let swap = 0; swap < 6; swap += 1) await system.load("swapped", heavy(4, swap % 2 === 0 ? 2 : 1));
    state.swapping = false;
    await callers;
    assert.ok(state.answers > 100, `${state.answers} answers`);
  }
});

test("batched equals unbatched, for random rows of random shapes and models, every caller gets its own", async () => {
  const random = randomNumbers(7);
  const whole = (max: number): number => 1 + Math.floor(random() * max);
  const numbers = (count: number): number[] => Array.from({ length: count }, () => Math.fround(random() * 10 - 5));
  await using system = await ConformanceGateway.start(
    { arithmetic: arithmetic(), concat: concat(), identity: identity("FLOAT", ["rows", "width", "height"]) },
    { INFERENCE_MODE: "worker" },
  );
  const { client } = system;
  const tensor = (name: string, shape: number[], values: number[]): Tensor => ({
    name,
    datatype: "FP32",
    shape,
    raw: rawOf(Float32Array.from(values)),
  });
  const questions = Array.from({ length: 600 }, () => {
    const [n, left, right] = [whole(9), whole(3), whole(3)];
    const kind = whole(3);
    if (kind === 1) {
      const [a, b] = [numbers(3 * n), numbers(3 * n)];
      const sum = a.map((value, index) => Math.fround(value + (b[index] as number)));
      return {
        model: "arithmetic",
        inputs: [tensor("a", [n, 3], a), tensor("b", [n, 3], b)],
        output: "sum",
        expected: sum,
      };
    }
    if (kind === 2) {
      const [a, b] = [numbers(left * n), numbers(right * n)];
      const expected = Array.from({ length: n }, (_, row) => [
        ...a.slice(row * left, (row + 1) * left),
        ...b.slice(row * right, (row + 1) * right),
      ]).flat();
      return {
        model: "concat",
        inputs: [tensor("a", [n, left], a), tensor("b", [n, right], b)],
        output: "both",
        expected,
      };
    }
    const x = numbers(n * left * right);
    return { model: "identity", inputs: [tensor("x", [n, left, right], x)], output: "y", expected: x };
  });
  for (let first = 0; first < questions.length; first += 100) {
    const asked = questions.slice(first, first + 100).map(async ({ model, inputs, output, expected }) => {
      const { code, details, message } = await client.infer(model, inputs);
      assert.equal(code, status.OK, details);
      assert.deepEqual(floatsOf(outputsOf(message).get(output)?.raw), expected);
    });
    await Promise.all(asked);
  }
  const runs = (await client.call("ModelStatistics")).message
    .messages(1)
    .map((stats) => [stats.number(4), stats.number(5)]);
  for (const [rowsRun, executions] of runs as [bigint, bigint][])
    assert.ok(executions < rowsRun, "rows went in batches");
});

test("a caller who has gone leaves the queue", async () => {
  await using system = await start();
  const { client } = system;
  const before = await busy(client);
  const impatient = new AbortController();
  const gone = client.infer("counting", rows([3, 0]), {}, undefined, impatient.signal);
  await arrival(client);
  impatient.abort();
  assert.equal((await gone).code, status.CANCELLED);
  await Promise.all(before);
  const [stats] = (await client.call("ModelStatistics", text(1, "counting"))).message.messages(1);
  assert.deepEqual([stats?.number(4), stats?.message(6).message(2).number(1)], [2n, 1n], "rows run, requests failed");
});
