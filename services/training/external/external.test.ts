import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { create, fromBinary, fromJsonString, type MessageInitShape, toBinary, toJsonString } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, trainerJobSubject, trainerResultSubject } from "@millrace/bus";
import { Algorithm, Encoding } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import {
  type ExternalJob,
  ExternalJobSchema,
  ExternalResultSchema,
} from "@millrace/proto/millrace/training/v1/external_pb.ts";
import { ModelState } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { APP, AS_OF_MS, FEATURES, TestTraining } from "../serviceForTests.ts";
import { logistic } from "../upload/modelsForTests.ts";

let training: TestTraining;
let trainer: Bus;
before(async () => {
  training = await TestTraining.start();
  trainer = await training.connectTrainer();
});
after(async () => {
  await trainer[Symbol.asyncDispose]();
  await training[Symbol.asyncDispose]();
});
beforeEach(() => {
  training.history = { rows: 6_000, direction: 1 };
});

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The job that a trainer was asked for, as its message says. */
async function asked(name: string, jobId: string): Promise<{ job: ExternalJob; type: string }> {
  const message = await waitFor(async () => {
    const found = await training.bus.manager.streams
      .getMessage("TRAINERS", { last_by_subj: trainerJobSubject(name) })
      .catch(() => null);
    return found?.header.get("Nats-Msg-Id") === `${jobId}/${name}` ? found : undefined;
  });
  const type = message?.header.get("Content-Type") ?? "";
  const data = message?.data ?? new Uint8Array();
  const json = type === "application/json";
  const job = json
    ? fromJsonString(ExternalJobSchema, Buffer.from(data).toString())
    : fromBinary(ExternalJobSchema, data);
  return { job, type };
}

async function answer(
  name: string,
  fields: MessageInitShape<typeof ExternalResultSchema>,
  as = "application/json",
): Promise<void> {
  const result = create(ExternalResultSchema, { trainer: name, ...fields });
  const json = as === "application/json";
  const data = json ? Buffer.from(toJsonString(ExternalResultSchema, result)) : toBinary(ExternalResultSchema, result);
  await trainer.publishBytes(trainerResultSubject(name), data, {
    id: `${name} ${result.id} ${as}`,
    headers: { "Content-Type": as },
  });
}

async function bring(file: Uint8Array): Promise<{ object: string; sha256: string }> {
  const name = sha256(file);
  await (await trainer.objects("trained")).putBlob({ name }, file);
  return { object: name, sha256: name };
}

test("a trainer outside is asked with data that ends where the holdout begins; its model is judged beside the others, and serves when it is best", async () => {
  await training.applyApp({ external: [{ name: "python" }] });
  await training.publishJob("one");
  const { job, type } = await asked("python", "one");
  assert.equal(type, "application/json");
  assert.deepEqual(
    [job.id, job.app, job.trainer, job.task, job.metric],
    ["one/python", APP, "python", "BINARY", "LOG_LOSS"],
  );
  assert.deepEqual(job.featureNames, FEATURES);
  assert.equal(job.objects.length, 1);
  const request = training.requests.at(-1);
  const endMs = request?.to === undefined ? 0 : timestampMs(request.to);
  assert.equal(request?.knownBefore && timestampMs(request.knownBefore), endMs);
  // A fifth of 6,000 rows of a minute each, less those that are too new.
  const holdoutMinutes = (AS_OF_MS - endMs) / 60_000;
  assert.ok(holdoutMinutes >= 1_190 && holdoutMinutes < 1_350, `${holdoutMinutes}`);
  await answer("python", {
    id: job.id,
    ...(await bring(logistic([3.4, 0]))),
    madeWith: "hand",
    parameters: '{"depth": 3}',
  });
  await training.settled();
  const { models } = await training.registry.listModels({ app: APP });
  assert.match(models[0]?.verdict.join("\n") ?? "", /Of 3 candidates, .*external:python 0\.\d+/);
});

test("a model of a trainer outside becomes a version with its parameters", async () => {
  await training.applyApp({ external: [{ name: "python" }], candidates: [Algorithm.BASELINE] });
  training.history = { rows: 6_000, direction: -1 };
  await training.publishJob("two");
  await asked("python", "two");
  await answer(
    "python",
    { id: "two/python", ...(await bring(logistic([-3.6, 0]))), madeWith: "hand", parameters: '{"depth": 3}' },
    "application/protobuf",
  );
  await training.settled();
  const [model] = (await training.registry.listModels({ app: APP })).models;
  assert.equal(model?.algorithm, "external:python");
  assert.equal(model.state, ModelState.CHAMPION, model.verdict.join("\n"));
  assert.deepEqual(JSON.parse(model.parameters), { made_with: "hand", depth: 3 });
  assert.deepEqual(model.featureNames, FEATURES);
});

test("who takes a job is silent for at most half a minute, and a job is given out three times", async () => {
  const { config } = await training.bus.manager.consumers.info("TRAINERS", "python");
  assert.deepEqual([config.ack_wait, config.max_deliver, config.filter_subject], [30e9, 3, "trainers.jobs.python"]);
});

test("a failure, a file that is not what was said, and silence until the deadline are told in the verdict, and stop nobody else", async () => {
  const names = ["fails", "lies", "sleeps", "wrong"];
  const deadline = { seconds: 1n };
  await training.applyApp({
    external: names.map((name) => (name === "sleeps" ? { name, deadline } : { name, encoding: Encoding.PROTOBUF })),
  });
  await training.publishJob("three");
  const { type } = await asked("fails", "three");
  assert.equal(type, "application/protobuf");
  // The last to be asked.
  await asked("wrong", "three");
  await answer("fails", { id: "three/fails", failure: "ValueError: no luck" });
  await answer("lies", { id: "three/lies", ...(await bring(logistic([4, 0]))), sha256: "0".repeat(64) });
  await answer("wrong", { id: "three/wrong", ...(await bring(new Uint8Array([1, 2, 3]))) });
  await training.settled();
  const verdict = (await training.registry.listModels({ app: APP })).models[0]?.verdict.join("\n") ?? "";
  assert.match(verdict, /trainer fails gave no model that can be judged: it says: ValueError: no luck\./);
  assert.match(verdict, /trainer lies .*: its file has the SHA-256 [0-9a-f]{64}, not 0{64}/);
  assert.match(verdict, /trainer sleeps .*: nothing came by its deadline/);
  assert.match(verdict, /trainer wrong gave no model/);
  assert.match(verdict, /Of 2 candidates/);
});

test("a result that nobody asked for, or that speaks for another trainer, is kept on REJECTED", async () => {
  const reasonOf = async () =>
    (
      await training.bus.manager.streams
        .getMessage("REJECTED", { last_by_subj: "rejected.results.>" })
        .catch(() => null)
    )?.header.get("Millrace-Reason");
  await answer("python", { id: "unknown/python", failure: "x" });
  await waitFor(async () => /Nobody asked the trainer python/.test((await reasonOf()) ?? ""));
  await answer("python", { id: "never/python", trainer: "fails", failure: "x" });
  await waitFor(async () => /names the trainer "fails", its subject "python"/.test((await reasonOf()) ?? ""));
});

test("a job that is begun again goes on with what a trainer brought meanwhile", async () => {
  await training.applyApp({ external: [{ name: "python" }] });
  await training.publishJob("interrupted");
  await asked("python", "interrupted");
  await training.stopService();
  await answer("python", { id: "interrupted/python", ...(await bring(logistic([3.3, 0]))) });
  await training.startService();
  await training.settled();
  const { models } = await training.registry.listModels({ app: APP });
  assert.match(models[0]?.verdict.join("\n") ?? "", /Of 3 candidates, .*external:python/);
  const { state } = await training.bus.manager.streams.info("TRAINERS", {
    subjects_filter: trainerJobSubject("python"),
  });
  assert.equal(state.subjects?.[trainerJobSubject("python")], 3, "nobody was asked twice");
});
