import assert from "node:assert/strict";
import { test } from "node:test";
import { type MillraceError, silentLogger } from "@millrace/runtime";
import { countingModel, logisticModel } from "./onnxForTests.ts";
import { WorkerPool, type WorkerPoolOptions } from "./workerPool.ts";

const start = (options: Partial<WorkerPoolOptions> = {}): Promise<WorkerPool> =>
  WorkerPool.start({
    size: 1,
    stuckAfterMs: 60_000,
    maxAbandoned: 1,
    logger: silentLogger,
    onExhausted: () => undefined,
    ...options,
  });

const rows = (count: number, values: number[]) => [
  { data: Float32Array.from(values), dims: [count, values.length / count] },
];
const sigmoid = (value: number): number => 1 / (1 + Math.exp(-value));
/** The last column of the counting model says how far it counts; this keeps it busy for about half a second. */
const LONG = 500_000;

async function capacity(pool: WorkerPool): Promise<void> {
  while (pool.availability !== "idle") {
    await new Promise<void>((resolve) => {
      pool.onCapacity = resolve;
    });
  }
}

test("every row of a batch gets its own answer, from any worker", async () => {
  await using pool = await start({ size: 2 });
  await pool.load("m", logisticModel([1, 2], 0.5), 1);
  const runs = await Promise.all(
    [0, 1, 2, 3].map((value) => pool.run("m", rows(3, [value, 0, 0, value, Number.NaN, 1]), [0])),
  );
  runs.forEach(({ outputs }, value) => {
    const probabilities = outputs[0]?.data as Float32Array;
    const expected = [sigmoid(value + 0.5), sigmoid(2 * value + 0.5), sigmoid(2.5)];
    for (const [row, probability] of probabilities.entries()) {
      assert.ok(Math.abs(probability - (expected[row] as number)) < 1e-6);
    }
  });
});

test("a stuck worker is given up, its batches fail, and another takes over", async () => {
  await using pool = await start({ stuckAfterMs: 100 });
  await pool.load("m", countingModel([1, 0]), 1);
  await assert.rejects(pool.run("m", rows(1, [0, LONG]), [0]), (error: MillraceError) => {
    assert.equal(error.code, "unavailable");
    assert.match(error.message, /stuck for over 100 ms/);
    return true;
  });
  assert.equal(pool.replaced, 1);
  await capacity(pool);
  const { outputs } = await pool.run("m", rows(1, [2, 0]), [0]);
  assert.ok(Math.abs((outputs[0]?.data[0] as number) - sigmoid(2)) < 1e-6);
});

test("too many stuck workers ask for a restart of the process", async () => {
  const exhausted = Promise.withResolvers<void>();
  await using pool = await start({ stuckAfterMs: 30, maxAbandoned: 0, onExhausted: exhausted.resolve });
  await pool.load("m", countingModel([1, 0]), 1);
  await assert.rejects(pool.run("m", rows(1, [0, LONG]), [0]));
  await exhausted.promise;
});

test("after a model is taken away new workers serve the others, and no batch fails", async () => {
  await using pool = await start();
  await pool.load("old", logisticModel([1]), 1);
  await pool.load("new", logisticModel([2]), 1);
  const row = () => rows(1, [1]);
  const renewed = pool.unload("old");
  const state = { renewed: false };
  void renewed.then(() => {
    state.renewed = true;
  });
  let runs = 0;
  while (!state.renewed) {
    const { outputs } = await pool.run("new", row(), [0]);
    assert.ok(Math.abs((outputs[0]?.data[0] as number) - sigmoid(2)) < 1e-6);
    runs += 1;
  }
  assert.ok(runs > 0);
  await assert.rejects(pool.run("old", row(), [0]), /is not loaded/);
});
