import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";
import { ModelState } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { waitFor } from "@millrace/test-harness";
import { APP, TestTraining } from "./serviceForTests.ts";
import { logistic } from "./upload/modelsForTests.ts";
import { upload } from "./upload/uploadForTests.ts";

let training: TestTraining;
before(async () => {
  training = await TestTraining.start();
  for (const [direction, id] of [
    [1, "one"],
    [-1, "two"],
    [1, "three"],
    [1, "rejected"],
  ] as const) {
    training.history = { rows: 6_000, direction };
    await training.runJob(id);
  }
});
after(async () => {
  await training[Symbol.asyncDispose]();
});

const refused = (text: RegExp) => (error: unknown) =>
  error instanceof MillraceError && error.code === "failed_precondition" && text.test(error.message);
const wish = (number: number) => ({ app: APP, number, reason: "a test", author: "Ada" });
const holds = async (name: string): Promise<boolean> => {
  const info = await (await training.bus.objects("models")).info(name);
  return info !== null && !info.deleted;
};

// The tests build on each other. 1 and 2 are retired, 2 being the one before the champion 3; 4 was rejected.

test("two versions are compared by their metrics then, and on the same rows now", async () => {
  const compared = await training.registry.compareModels({ app: APP, left: 2, right: 3 });
  assert.equal(compared.left?.number, 2);
  assert.equal(compared.leftMetrics["rows"], compared.rightMetrics["rows"]);
  assert.ok((compared.rightMetrics["auc"] ?? 0) > 0.65 && (compared.leftMetrics["auc"] ?? 1) < 0.4);
  assert.match(compared.datasetHash, /^dataset-/);
  const stored = await training.registry.compareModels({ app: APP, left: 2, right: 3, storedOnly: true });
  assert.deepEqual([stored.leftMetrics, stored.datasetHash], [{}, ""]);
});

test("where there are no rows to compare on, the stored metrics are told all the same, and why", async () => {
  training.history = { rows: 0, direction: 1 };
  const { remarks, right } = await training.registry.compareModels({ app: APP, left: 2, right: 3 });
  assert.match(remarks.join(), /could not be compared on the same rows: .*no history yet/);
  assert.ok((right?.metrics["auc"] ?? 0) > 0.65);
  training.history = { rows: 6_000, direction: 1 };
});

test("a version is downloaded as the file that serves", async () => {
  const bytes: Uint8Array[] = [];
  let artefact = "";
  for await (const { part } of training.registry.downloadModel({ app: APP, number: 3 })) {
    if (part.case === "model") artefact = part.value.artefact;
    if (part.case === "chunk") bytes.push(part.value);
  }
  assert.equal(createHash("sha256").update(Buffer.concat(bytes)).digest("hex"), artefact);
});

test("promoting the champion again, and rolling back one that serves no longer, change nothing: calls may be repeated", async () => {
  const changes = () => training.database.query({ text: "SELECT count(*)::int AS count FROM changes" });
  const before = await changes();
  const { deployment } = await training.registry.promoteModel(wish(3));
  assert.equal(deployment?.champion?.number, 3);
  const rolledBack = await training.registry.rollBackModel(wish(2));
  assert.equal(rolledBack.deployment?.champion?.number, 3);
  assert.deepEqual(await changes(), before);
});

test("what serves, stands ready as a fallback or is on its way can be neither retired nor deleted", async () => {
  await assert.rejects(training.registry.retireModel(wish(3)), refused(/flights\/3 serves; promote another/));
  await assert.rejects(training.registry.deleteModel(wish(3)), refused(/flights\/3 serves/));
  await assert.rejects(training.registry.deleteModel(wish(2)), refused(/flights\/2 is the champion before/));
  await training.applyApp({ promotion: { shadow: { predictions: 100 } } });
  const { deployment } = await training.registry.promoteModel({ ...wish(1), byPolicy: true });
  assert.equal(deployment?.shadow?.model?.number, 1);
  await assert.rejects(training.registry.deleteModel(wish(1)), refused(/flights\/1 is on its way .*; retire it first/));
  assert.equal((await training.registry.retireModel(wish(1))).model?.state, ModelState.RETIRED);
  assert.equal((await training.deployment())?.shadow, undefined);
  await training.applyApp();
});

test("nothing is deleted while a job of the app is open, which may be about to register the same file", async () => {
  const held = Promise.withResolvers<void>();
  training.hold = held.promise;
  await training.publishJob("open");
  await waitFor(async () => (await training.registry.listJobs({ app: APP })).jobs[0]?.stage !== "");
  await assert.rejects(training.registry.deleteModel(wish(1)), refused(/the job open of the app is open/));
  held.resolve();
  await training.settled();
});

test("retiring what was rejected does not make it promotable", async () => {
  assert.equal((await training.registry.retireModel(wish(4))).model?.state, ModelState.REJECTED);
  await assert.rejects(training.registry.promoteModel(wish(4)), refused(/was rejected by its gates/));
});

test("a deleted version's file goes and its record stays; it is listed on demand, and its number is not given again", async () => {
  const { model } = await training.registry.getModel({ app: APP, number: 1 });
  assert.ok(model !== undefined && (await holds(model.artefact)));
  // The same file as another version's stays.
  const shared = await training.database.query<{ number: number }>({
    text: "SELECT number FROM models WHERE artefact = $1 AND number <> 1",
    values: [model.artefact],
  });
  for (const { number } of shared) if (number !== 3) await training.registry.deleteModel(wish(number));
  assert.equal((await training.registry.deleteModel(wish(1))).model?.state, ModelState.DELETED);
  assert.equal((await training.registry.deleteModel(wish(1))).model?.state, ModelState.DELETED);
  const numbers = async (deleted: boolean) =>
    (await training.registry.listModels({ app: APP, deleted })).models.map(({ number }) => number);
  assert.ok(!(await numbers(false)).includes(1) && (await numbers(true)).includes(1));
  const stays = shared.some(({ number }) => number === 3);
  assert.equal(await holds(model.artefact), stays);
  const { history } = await training.registry.getModel({ app: APP, number: 1 });
  assert.deepEqual([history.at(-1)?.state, history.at(-1)?.who], [ModelState.DELETED, "Ada"]);
  await assert.rejects(training.registry.promoteModel(wish(1)), refused(/was deleted: its file is gone/));
});

test("an uploaded file goes with its last version, and the same file may be uploaded anew", async () => {
  const file = logistic([-4.5, 0]);
  const first = await upload(training.registry, file, { app: APP });
  assert.equal(first.model.state, ModelState.REJECTED);
  const { artefact, number } = first.model;
  await training.registry.deleteModel(wish(number));
  assert.equal(await holds(artefact), false);
  assert.equal(await holds(first.model.origin?.sha256 ?? ""), false);
  const second = await upload(training.registry, file, { app: APP });
  assert.deepEqual([second.knownBefore, second.model.number], [false, number + 1]);
  assert.equal(await holds(artefact), true);
});
