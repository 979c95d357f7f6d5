import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { JobState, type JobStatus } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { APP, TestTraining } from "./serviceForTests.ts";

let training: TestTraining;
before(async () => {
  training = await TestTraining.start();
});
after(async () => {
  await training[Symbol.asyncDispose]();
});
beforeEach(() => {
  training.history = { rows: 6_000, direction: 1 };
});

const list = async (): Promise<JobStatus[]> => (await training.registry.listJobs({ app: APP })).jobs;
const job = async (id: string): Promise<JobStatus | undefined> => (await list()).find((each) => each.job?.id === id);

/** The dataset server keeps answers back until the result is called. */
function hold(): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  training.hold = promise;
  return resolve;
}

test("two jobs of an app never run together, in two processes either; the second runs when the first has ended", async () => {
  const release = hold();
  await using other = await training.startAnother();
  await training.publishJob("one");
  await training.publishJob("two");
  const asked = training.requests.length;
  await waitFor(() => training.requests.length === asked + 1);
  // The second process has been given the second job, and has given it back.
  await waitFor(async () => {
    const { num_redelivered } = await training.bus.manager.consumers.info("TRAINING", "training-all");
    return num_redelivered > 0;
  });
  const states = async () => (await list()).map((each) => each.state);
  assert.deepEqual(await states(), [JobState.RUNNING, JobState.WAITING]);
  assert.equal(training.requests.length, asked + 1);
  release();
  await training.settled();
  assert.equal(training.requests.length, asked + 2);
  assert.deepEqual(await states(), [JobState.FINISHED, JobState.FINISHED]);
  assert.ok(other !== undefined);
});

test("the list tells what a running job does, and how those that ended did", async () => {
  const release = hold();
  await training.publishJob("seen");
  await waitFor(async () => (await job("seen"))?.stage === "building the dataset");
  const running = await job("seen");
  assert.equal(running?.state, JobState.RUNNING);
  assert.ok(running.startedAt !== undefined && running.progressAt !== undefined);
  release();
  await training.settled();
  const ended = await job("seen");
  assert.equal(ended?.state, JobState.FINISHED);
  assert.match(ended.outcome, /^flights\/\d+ (promoted|rejected)$/);
  assert.equal(ended.stage, "");
});

test("a running job stops when somebody cancels it, is told as failed with who and why, and is not done again", async () => {
  const release = hold();
  await training.publishJob("unwanted");
  await waitFor(async () => (await job("unwanted"))?.state === JobState.RUNNING);
  const wish = { jobId: "unwanted", reason: "wrong data", author: "Ada" };
  const { job: cancelling } = await training.registry.cancelJob(wish);
  assert.equal(cancelling?.cancelling, "Ada: wrong data");
  await training.settled();
  const ended = await job("unwanted");
  assert.equal(ended?.state, JobState.CANCELLED);
  assert.equal(ended.outcome, "Ada cancelled it: wrong data");
  assert.equal((await training.events()).at(-1)?.what, "failed");
  assert.equal(
    (await training.registry.cancelJob(wish)).job?.state,
    JobState.CANCELLED,
    "a repeated call changes nothing",
  );
  release();
});

test("a job that waits behind another is listed before any process has taken it, and does not begin once cancelled", async () => {
  const release = hold();
  await training.publishJob("before");
  await training.publishJob("behind");
  await waitFor(async () => (await job("before"))?.state === JobState.RUNNING);
  assert.equal((await job("behind"))?.state, JobState.WAITING);
  await training.registry.cancelJob({ jobId: "behind", reason: "no longer needed" });
  const asked = training.requests.length;
  release();
  await training.settled();
  assert.equal((await job("behind"))?.state, JobState.CANCELLED);
  assert.equal(training.requests.length, asked);
  const unknown = training.registry.cancelJob({ jobId: "nobody", reason: "x" });
  await assert.rejects(unknown, (error) => error instanceof MillraceError && error.code === "not_found");
});

test("a job that takes longer than the app allows is broken off, and says so", async () => {
  await training.applyApp({ timeLimit: { nanos: 300_000_000 } });
  const release = hold();
  const events = await training.runJob("slow");
  assert.match(events[0]?.reason ?? "", /took longer than 300ms.*model\.time_limit/);
  assert.equal((await job("slow"))?.state, JobState.FAILED);
  release();
  await training.applyApp();
});

test("asking for a training again with the same id asks for nothing new", async () => {
  const wish = { app: APP, reason: "twice", jobId: "mine" };
  assert.equal((await training.registry.requestTraining(wish)).jobId, "mine");
  await training.settled();
  await training.registry.requestTraining(wish);
  const { state } = await training.bus.manager.streams.info("TRAINING");
  assert.equal(state.messages, 0);
});
