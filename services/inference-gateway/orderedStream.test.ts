import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { collect } from "./gatewayForTests.ts";
import { answerInOrder } from "./orderedStream.ts";

const NEVER = new AbortController().signal;
const hasRoom = (): boolean => true;

/** Numbers from 0 on, and how many of them were taken. */
function numbers(count = Infinity) {
  const taken = { count: 0 };
  async function* generate() {
    for (let value = 0; value < count; value += 1) {
      taken.count += 1;
      yield value;
    }
  }
  return { requests: generate(), taken };
}

/** Answers that come when the test says so. */
function byHand() {
  const pending = new Map<number, (answer: number) => void>();
  const answer = (request: number): Promise<number> => new Promise((resolve) => pending.set(request, resolve));
  const settle = (request: number): void => pending.get(request)?.(request);
  return { answer, settle, pending };
}

const turns = async (count = 20): Promise<void> => {
  for (let index = 0; index < count; index += 1) await turn();
};

test("answers come in the order of the requests, whichever is ready first", async () => {
  const { answer, settle, pending } = byHand();
  const answers = answerInOrder(numbers(4).requests, answer, { maxInHand: 10, hasRoom, signal: NEVER });
  const got = collect(answers);
  await turns();
  for (const request of [3, 1, 0, 2]) {
    assert.ok(pending.has(request));
    settle(request);
    await turns();
  }
  assert.deepEqual(await got, [0, 1, 2, 3]);
});

test("no more requests are read than may be in hand, also when the answers are ready and nobody takes them", async () => {
  const { requests, taken } = numbers();
  const answers = answerInOrder(requests, (request) => Promise.resolve(request), {
    maxInHand: 8,
    hasRoom,
    signal: NEVER,
  });
  assert.equal((await answers.next()).value, 0);
  await turns();
  assert.equal(taken.count, 8);
  for (let expected = 1; expected <= 100; expected += 1) assert.equal((await answers.next()).value, expected);
  await turns();
  assert.ok(taken.count <= 108, `${taken.count} were read`);
});

test("while there is no room a stream is read one request at a time, and as before afterwards", async () => {
  const { answer, settle } = byHand();
  const { requests, taken } = numbers(20);
  const room = { free: false };
  const answers = answerInOrder(requests, answer, { maxInHand: 8, hasRoom: () => room.free, signal: NEVER });
  for (const request of [0, 1, 2]) {
    const next = answers.next();
    await turns();
    assert.equal(taken.count, request + 1);
    settle(request);
    assert.equal((await next).value, request);
  }
  room.free = true;
  void answers.next();
  await turns();
  assert.equal(taken.count, 3 + 8);
});

test("a stream whose caller has gone ends, though no more requests come, and gives no more answers", async () => {
  const caller = new AbortController();
  const { answer, settle } = byHand();
  async function* silent() {
    yield 1;
    await new Promise(() => undefined);
  }
  const answers = answerInOrder(silent(), answer, { maxInHand: 8, hasRoom, signal: caller.signal });
  const first = answers.next();
  await turns();
  settle(1);
  assert.equal((await first).value, 1);
  const second = answers.next();
  await turns();
  caller.abort();
  assert.equal((await second).done, true);
});

test("requests that fail end the stream with their failure, after the answers to those before", async () => {
  async function* failing() {
    yield 1;
    yield 2;
    throw new RangeError("no more");
  }
  const answers = answerInOrder(failing(), (request) => Promise.resolve(request), {
    maxInHand: 8,
    hasRoom,
    signal: NEVER,
  });
  assert.deepEqual([(await answers.next()).value, (await answers.next()).value], [1, 2]);
  await assert.rejects(answers.next(), RangeError);
});
