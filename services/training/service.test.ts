import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ModelState } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { APP, AS_OF_MS, FEATURES, millisecondsOf, TestTraining } from "./serviceForTests.ts";

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

const champion = async (): Promise<number | undefined> => (await training.deployment())?.champion?.number;
const code = (expected: string, text: RegExp) => (error: unknown) =>
  error instanceof MillraceError && error.code === expected && text.test(error.message);

// The tests build on each other: the registry's story from the first model on.

test("the first model that passes its gates is registered with its lineage, and serves", async () => {
  const events = await training.runJob("first");
  assert.deepEqual(
    events.map(({ what }) => what),
    ["candidate", "promoted"],
  );
  assert.equal(millisecondsOf(events[0]), AS_OF_MS);
  const { models } = await training.registry.listModels({ app: APP });
  const [model] = models;
  assert.equal(models.length, 1);
  assert.equal(model?.state, ModelState.CHAMPION);
  assert.equal(model.number, 1);
  assert.equal(model.algorithm, "logistic");
  assert.deepEqual(model.featureNames, FEATURES);
  assert.equal(model.jobId, "first");
  assert.equal(model.datasetHash, "dataset-1");
  assert.ok((model.metrics["auc"] ?? 0) > 0.65, JSON.stringify(model.metrics));
  assert.equal(model.reference?.features.length, 2);
  assert.ok((model.reference.features[0]?.missing ?? 0) > 0.01);
  assert.match(model.verdict.join("\n"), /Of 2 candidates, logistic has the best log loss/);
  const deployment = await training.deployment();
  assert.deepEqual(deployment?.champion, model);
  assert.equal(deployment.since && timestampMs(deployment.since), AS_OF_MS);
  const [request] = training.requests;
  assert.equal(request?.to && timestampMs(request.to), AS_OF_MS);
  assert.equal(request?.knownBefore && timestampMs(request.knownBefore), AS_OF_MS);
});

test("a finished job that is delivered again trains nothing and tells nothing", async () => {
  const before = { requests: training.requests.length, events: (await training.events()).length };
  await training.publishJob("first", "first-again");
  await training.settled();
  assert.equal(training.requests.length, before.requests);
  assert.equal((await training.events()).length, before.events);
});

test("a challenger that does no better than the champion is rejected with the numbers, and the champion stays", async () => {
  const events = await training.runJob("second");
  assert.deepEqual(
    events.map(({ what }) => what),
    ["candidate", "rejected"],
  );
  assert.match(events[1]?.reason ?? "", /against champion 1's .* on the same 1\d\d\d rows: a tie \(tolerance 0\.002\)/);
  assert.equal(await champion(), 1);
  const { model } = await training.registry.getModel({ app: APP, number: 2 });
  assert.equal(model?.state, ModelState.REJECTED);
  assert.ok((model.championMetrics["auc"] ?? 0) > 0.65);
});

test("a model that its gates rejected cannot be promoted by hand", async () => {
  const call = training.registry.promoteModel({ app: APP, number: 2, reason: "because" });
  await assert.rejects(call, code("failed_precondition", /flights\/2 was rejected by its gates/));
});

test("when the world turns round, the challenger wins on the same rows and the old champion stays at hand", async () => {
  training.history = { rows: 6_000, direction: -1 };
  const events = await training.runJob("third");
  assert.deepEqual(
    events.map(({ what }) => what),
    ["candidate", "promoted"],
  );
  const deployment = await training.deployment();
  assert.equal(deployment?.champion?.number, 3);
  assert.equal(deployment.previous?.number, 1);
  assert.equal(deployment.previous.state, ModelState.RETIRED);
});

test("rows are scored by the version that is named, in any order of features", async () => {
  const { registry } = training;
  const busyFirst = { featureNames: ["busy", "hour"], values: [0.95, 3, 0.05, 3, Number.NaN, 3] };
  const hourFirst = { featureNames: ["hour", "busy"], values: [3, 0.95, 3, 0.05, 3, Number.NaN] };
  const one = await registry.scoreRows({ app: APP, number: 1, ...busyFirst });
  const three = await registry.scoreRows({ app: APP, number: 3, ...hourFirst });
  const [busy = 0, idle = 1] = one.probabilities;
  assert.ok(busy > 0.7 && idle < 0.3, one.probabilities.join());
  assert.ok((three.probabilities[0] ?? 1) < 0.3);
  assert.deepEqual((await registry.scoreRows({ app: APP, number: 1, ...hourFirst })).probabilities, one.probabilities);
});

test("twenty thousand rows are scored in one call, more are refused", async () => {
  const values = (rows: number): number[] => Array.from({ length: rows * 2 }, (_, index) => (index % 2) * 5);
  const request = { app: APP, number: 1, featureNames: FEATURES };
  const { probabilities } = await training.registry.scoreRows({ ...request, values: values(20_000) });
  assert.equal(probabilities.length, 20_000);
  const tooMany = training.registry.scoreRows({ ...request, values: values(20_001) });
  await assert.rejects(tooMany, code("invalid_argument", /20001 rows; send at most 20000/));
});

test("calls that make no sense are refused with what to do", async () => {
  const { registry } = training;
  const score = { app: APP, number: 1 };
  await assert.rejects(registry.getModel({ app: APP, number: 99 }), code("not_found", /no model flights\/99/));
  await assert.rejects(registry.listModels({}), code("invalid_argument", /app is empty/));
  await assert.rejects(
    registry.scoreRows({ ...score, featureNames: ["hour"], values: [1] }),
    code("invalid_argument", /lacks busy/),
  );
  await assert.rejects(
    registry.scoreRows({ ...score, featureNames: FEATURES, values: [1] }),
    code("invalid_argument", /no whole rows of 2/),
  );
  await assert.rejects(
    registry.requestTraining({ app: "nobody", reason: "test" }),
    code("not_found", /no app "nobody"/),
  );
});

test("rolling back makes the champion before serve again, and the one rolled back is no fallback", async () => {
  const { deployment } = await training.registry.rollBackModel({ app: APP, reason: "it does harm" });
  assert.equal(deployment?.champion?.number, 1);
  assert.deepEqual(await training.deployment(), deployment);
  assert.equal(deployment.previous, undefined);
  assert.equal((await training.events()).at(-1)?.what, "rolled_back");
  const again = training.registry.rollBackModel({ app: APP, reason: "again" });
  await assert.rejects(again, code("failed_precondition", /no champion before this one/));
});

test("a retired version can be promoted by hand; every change keeps who and why", async () => {
  const { deployment } = await training.registry.promoteModel({ app: APP, number: 3, reason: "it was not its fault" });
  assert.equal(deployment?.champion?.number, 3);
  assert.equal(deployment.previous?.number, 1);
  const changes = await training.database.query<{ number: number; state: string; who: string; why: string }>({
    text: "SELECT number, state, who, why FROM changes ORDER BY id DESC LIMIT 1",
  });
  assert.deepEqual(changes, [{ number: 3, state: "champion", who: "registry call", why: "it was not its fault" }]);
});

test("a deployment that a crash kept from the bucket is written at the next start, and its events once", async () => {
  await training.stopService();
  const bucket = await training.bus.keyValue("deployments");
  await bucket.delete(APP);
  const events = (await training.events()).length;
  await training.database.query({
    text: `INSERT INTO outbox (kind, app, message, traceparent)
           SELECT 'event', app, $1, '' FROM deployments WHERE app = $2`,
    values: [Buffer.from([0x0a, 1, 0x78, 0x12, 1, 0x61, 0x1a, 1, 0x62]), APP],
  });
  await training.startService();
  assert.equal(await champion(), 3);
  assert.equal((await training.events()).length, events + 1);
  const left = await training.database.query({ text: "SELECT id FROM outbox" });
  assert.deepEqual(left, []);
  await training.stopService();
  const revision = (await bucket.get(APP))?.revision;
  await training.startService();
  assert.equal((await bucket.get(APP))?.revision, revision, "a second start writes nothing");
});

test("a champion whose file is lost or altered does not stop the loop: the verdict says so", async () => {
  const artefact = (await training.deployment())?.champion?.artefact ?? "";
  const store = await training.bus.objects("models");
  await store.putBlob({ name: artefact }, new Uint8Array([1, 2, 3]));
  const altered = await training.runJob("after-corruption");
  assert.deepEqual(
    altered.map(({ what }) => what),
    ["candidate", "promoted"],
  );
  assert.match(altered[1]?.reason ?? "", /Champion 3 could not be run on the same rows.*was altered/);
  const next = (await training.deployment())?.champion;
  await store.delete(next?.artefact ?? "");
  const score = training.registry.scoreRows({
    app: APP,
    number: next?.number ?? 0,
    featureNames: FEATURES,
    values: [],
  });
  await assert.rejects(score, code("data_loss", /is not in the store models/));
  const lost = await training.runJob("after-loss");
  assert.match(lost[1]?.reason ?? "", /could not be run .* is not in the store models/);
});

for (const { what, history, reason } of [
  { what: "without rows", history: { rows: 0, direction: 1 }, reason: /no history yet/ },
  { what: "too small", history: { rows: 200, direction: 1 }, reason: /each part needs 20/ },
  { what: "of one class", history: { rows: 6_000, direction: 1, labels: "ones" as const }, reason: /have the label 1/ },
  { what: "not readable", history: { rows: 6_000, direction: 1, corrupt: true }, reason: /is not a Parquet file/ },
]) {
  test(`a dataset ${what} ends the job as failed with one sentence, and the service goes on`, async () => {
    training.history = history;
    const events = await training.runJob(`bad dataset ${what}`);
    assert.deepEqual(
      events.map((event) => event.what),
      ["failed"],
    );
    assert.match(events[0]?.reason ?? "", reason);
    assert.equal(events[0]?.model, undefined);
  });
}

test("a job for an app that nobody applied fails and says so", async () => {
  const events = await training.runJob("unknown-app", "nobody");
  assert.deepEqual(
    events.map((event) => event.what),
    ["failed"],
  );
  assert.match(events[0]?.reason ?? "", /no app "nobody"/);
});

test("a job that stopped the process twice ends as failed, once; after one stop it is done again", async () => {
  const crashed = (id: string, starts: number) =>
    training.database.query({
      text: "INSERT INTO jobs (id, app, trigger, reason, state, starts) VALUES ($1, $2, 'manual', '', 'running', $3)",
      values: [id, APP, starts],
    });
  await crashed("twice", 2);
  const events = await training.runJob("twice");
  assert.deepEqual(
    events.map((event) => event.what),
    ["failed"],
  );
  assert.match(events[0]?.reason ?? "", /stopped the process 2 times/);
  await crashed("once", 1);
  assert.deepEqual(
    (await training.runJob("once")).map((event) => event.what),
    ["candidate", "rejected"],
  );
});

test("a training asked for over gRPC without a time uses all there is", async () => {
  const { jobId } = await training.registry.requestTraining({ app: APP, reason: "curious" });
  await waitFor(async () => (await training.events()).some((event) => event.jobId === jobId), { deadlineMs: 20_000 });
  const request = training.requests.at(-1);
  assert.equal(request?.to, undefined);
  assert.equal(request?.from, undefined);
});

test("bytes that are no job are kept on REJECTED", async () => {
  await training.bus.publishBytes(`training.jobs.${APP}`, new Uint8Array([0xff, 0xff]), { id: "garbage" });
  await training.settled();
  const rejected = await training.bus.manager.streams.getMessage("REJECTED", { last_by_subj: "rejected.>" });
  assert.match(rejected?.header.get("Millrace-Reason") ?? "", /are not a millrace.training.v1.TrainingJob/);
});
