import assert from "node:assert/strict";
import { test } from "node:test";
import type { MillraceError } from "@millrace/runtime";
import { DATATYPES, type Datatype } from "./datatypes.ts";
import type { Executor, RunResult } from "./executor.ts";
import { Lane } from "./lane.ts";
import { INPUT, type ModelSignature } from "./modelSignature.ts";

const FP32 = DATATYPES.find(({ name }) => name === "FP32") as Datatype;
const SIGNATURE: ModelSignature = {
  inputs: [{ name: INPUT, datatype: FP32, shape: [-1, 1] }],
  outputs: [{ name: "probability", datatype: FP32, shape: [-1, 1] }],
};
const SIZE = 4;
/** A row, or a full batch, takes 10 ms. */
const COSTS = new Map([
  [1, 10],
  [SIZE, 10],
]);

/** A lane with one worker, which takes a batch at a time and ends it when the test says so. */
class Bench implements Disposable {
  now = 0;
  readonly lane: Lane;
  #end: ((result: RunResult) => void) | undefined;

  constructor() {
    const availability = () => (this.#end === undefined ? ("idle" as const) : ("full" as const));
    const executor: Executor = {
      get availability() {
        return availability();
      },
      keepsInputs: false,
      onCapacity: () => undefined,
      load: () => Promise.resolve(),
      unload: () => Promise.resolve(),
      run: () => new Promise((resolve) => (this.#end = resolve)),
    };
    this.lane = new Lane({
      version: "flights/1",
      artefact: "",
      signature: SIGNATURE,
      batched: true,
      batch: { maxQueue: 100, maxSize: SIZE, maxDelayMs: 0 },
      leastRunMs: 1,
      costs: COSTS,
      executor,
      clock: { now: () => this.now },
      metrics: { started: () => () => undefined },
      wake: () => undefined,
    });
  }

  /** Asks for a row; what it failed with. */
  ask(leftMs: number) {
    const { answer, blame } = this.lane.submit({ features: Float64Array.of(1), traceparent: "" }, this.now + leftMs);
    const failure = answer.then(
      () => undefined,
      (error: unknown) => error as MillraceError,
    );
    return { failure, blame };
  }

  at(now: number): void {
    this.now = now;
    this.lane.pump();
  }

  async ends(rows: number): Promise<void> {
    this.#end?.({ outputs: [{ data: new Float32Array(rows), dims: [rows, 1] }], runMs: 10 });
    this.#end = undefined;
    await new Promise((resolve) => setImmediate(resolve));
  }

  [Symbol.dispose](): void {
    this.lane[Symbol.dispose]();
  }
}

test("a request that expires in the queue says nothing about the model; one that the model had for half of its time does", async () => {
  using bench = new Bench();
  const running = bench.ask(30);
  bench.at(0);
  const waiting = bench.ask(30);
  bench.now = 30;
  for (const { failure } of [running, waiting]) assert.equal((await failure)?.code, "deadline_exceeded");
  assert.equal(running.blame.modelsFault, true);
  assert.equal(waiting.blame.modelsFault, false);
});

test("a request that was handed over late is not the model's fault, unless its batch is overdue", async () => {
  for (const [expiresAt, overdue] of [
    [260, false],
    [300, true],
  ] as const) {
    using bench = new Bench();
    bench.ask(1_000);
    bench.at(0);
    const late = bench.ask(expiresAt);
    bench.at(200);
    await bench.ends(1);
    bench.at(200);
    bench.now = expiresAt;
    assert.equal((await late.failure)?.code, "deadline_exceeded");
    assert.equal(late.blame.modelsFault, overdue);
  }
});

test("whom the backlog would make late is refused at once with the time that it takes; all who come together get the same error", async () => {
  using bench = new Bench();
  bench.ask(100);
  bench.at(0);
  const asked = Array.from({ length: 40 }, () => bench.ask(100));
  const kept = asked.slice(0, 6 * SIZE);
  const refused = asked.slice(6 * SIZE);
  const errors = await Promise.all(refused.map(({ failure }) => failure));
  // 10 ms for what runs, and six full batches: with a seventh it would be more than 70 ms.
  for (const error of errors) assert.deepEqual([error?.code, error?.retryAfterMs], ["resource_exhausted", 70]);
  assert.equal(new Set(errors).size, 1);
  assert.equal(bench.lane.waitingRows, kept.length);
  for (const { blame } of refused) assert.equal(blame.modelsFault, false);
  // More time, or a backlog that has shrunk, and it is taken.
  bench.ask(200);
  assert.equal(bench.lane.waitingRows, kept.length + 1);
});
