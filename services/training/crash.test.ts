import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test } from "node:test";
import { waitFor } from "@millrace/test-harness";
import { TestTraining } from "./serviceForTests.ts";

const MAIN = join(import.meta.dirname, "main.ts");

function startProcess(training: TestTraining): ChildProcess {
  return spawn(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN], {
    env: { ...process.env, ...training.environment(), LOG_LEVEL: "fatal" },
    stdio: ["pipe", "ignore", "inherit"],
  });
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const exited = once(child, "exit");
  child.kill(signal);
  await exited;
}

test("a training that is cut off by kill -9 is done again by the next process, and registers one model", async () => {
  await using training = await TestTraining.start({ service: false });
  const held = Promise.withResolvers<void>();
  training.hold = held.promise;
  await training.publishJob("cut-off");
  const first = startProcess(training);
  await waitFor(() => training.requests.length === 1, { deadlineMs: 20_000 });
  await end(first, "SIGKILL");
  held.resolve();
  const second = startProcess(training);
  try {
    await training.settled();
    assert.deepEqual(
      (await training.events()).map(({ what }) => what),
      ["candidate", "promoted"],
    );
    assert.equal((await training.deployment())?.champion?.number, 1);
    const jobs = await training.database.query({ text: "SELECT state, starts, outcome FROM jobs" });
    assert.deepEqual(jobs, [{ state: "finished", starts: 2, outcome: "flights/1 promoted" }]);
  } finally {
    await end(second, "SIGTERM");
  }
  assert.equal(second.exitCode, 0);
});

test("a training that is stopped in order goes back to the queue, and that start does not count", async () => {
  await using training = await TestTraining.start({ service: false });
  const held = Promise.withResolvers<void>();
  training.hold = held.promise;
  await training.publishJob("stopped");
  const child = startProcess(training);
  await waitFor(() => training.requests.length === 1, { deadlineMs: 20_000 });
  await end(child, "SIGTERM");
  held.resolve();
  assert.equal(child.exitCode, 0);
  const jobs = await training.database.query({ text: "SELECT state, starts FROM jobs" });
  assert.deepEqual(jobs, [{ state: "waiting", starts: 0 }]);
  await training.startService();
  await training.settled();
  assert.equal((await training.deployment())?.champion?.number, 1);
});
