import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Approval } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { ModelState } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { APP, TestTraining } from "./serviceForTests.ts";
import { bad, good, TrialQuestions } from "./trialQuestionsForTests.ts";

const PROMOTION = { shadow: { predictions: 100 }, canary: { outcomes: 100, share: 0.25 } };

let training: TestTraining;
let questions: TrialQuestions;
before(async () => {
  training = await TestTraining.start();
  questions = new TrialQuestions(training);
});
after(async () => {
  await training[Symbol.asyncDispose]();
});

let direction = 1;
/** Trains a model that is better than the champion: the world turns round. */
async function accepted(id: string): Promise<number> {
  direction = -direction;
  training.history = { rows: 6_000, direction };
  await training.runJob(id);
  return (await training.registry.listModels({ app: APP })).models[0]?.number ?? 0;
}

const stateOf = async (number: number) => (await training.registry.getModel({ app: APP, number })).model?.state;
const champion = async () => (await training.deployment())?.champion?.number;
const reaches = (number: number, state: ModelState) =>
  waitFor(async () => (await stateOf(number)) === state, {
    deadlineMs: 10_000,
    what: `${APP}/${number} in state ${state}`,
  });
const told = async (number: number) =>
  (await training.events()).filter(({ model }) => model?.number === number).map(({ what }) => what);

// The tests build on each other: one app's candidates, one after the other.

test("the first model serves at once, for there is nothing to compare it with", async () => {
  await training.applyApp({ promotion: PROMOTION });
  assert.equal(await accepted("first"), 1);
  assert.equal(await champion(), 1);
});

test("a candidate that beat the champion becomes its shadow, then a canary, then the champion, each step with its evidence", async () => {
  assert.equal(await accepted("second"), 2);
  assert.equal(await stateOf(2), ModelState.SHADOW);
  const shadowed = await training.deployment();
  assert.deepEqual(
    [shadowed?.champion?.number, shadowed?.shadow?.model?.number, shadowed?.shadow?.percent],
    [1, 2, 100],
  );
  await questions.reading();
  await questions.ask(99, [
    { by: MadeBy.CHAMPION, version: 1 },
    { by: MadeBy.SHADOW, version: 2 },
  ]);
  await waitFor(async () => (await training.registry.getModel({ app: APP, number: 2 })).trial?.seen === 99n);
  assert.equal(await stateOf(2), ModelState.SHADOW);
  await questions.ask(1, [
    { by: MadeBy.SHADOW, version: 2 },
    { by: MadeBy.CHAMPION, version: 1 },
  ]);
  await reaches(2, ModelState.CANARY);
  const canaried = await training.deployment();
  assert.deepEqual(
    [canaried?.champion?.number, canaried?.canary?.model?.number, canaried?.canary?.percent],
    [1, 2, 25],
  );
  assert.equal(canaried?.shadow, undefined);
  await questions.ask(300, [{ by: MadeBy.CHAMPION, version: 1, probability: good }]);
  await questions.ask(100, [{ by: MadeBy.CANARY, version: 2, probability: good }]);
  await reaches(2, ModelState.CHAMPION);
  const promoted = await training.deployment();
  assert.deepEqual([promoted?.champion?.number, promoted?.previous?.number, promoted?.canary], [2, 1, undefined]);
  assert.deepEqual(await told(2), ["candidate", "accepted", "shadow", "canary", "promoted"]);
  const { history, model } = await training.registry.getModel({ app: APP, number: 2 });
  assert.deepEqual(
    history.map(({ state }) => state),
    [ModelState.CANDIDATE, ModelState.SHADOW, ModelState.CANARY, ModelState.CHAMPION],
  );
  assert.match(history[2]?.why ?? "", /It answered 100 of about 100 questions in the champion's shadow/);
  assert.equal(history[2]?.figures["pairs"], 100);
  assert.equal(history[3]?.figures["answered"], 100);
  assert.equal(history[3]?.who, "promotion policy");
  assert.equal(model?.parent, 1);
  assert.match(model.codeVersion, /^0\.1\.0\+[0-9a-f]{12}$/);
});

test("with the last trial the reading of predictions ends, and what it collected goes", async () => {
  await waitFor(
    async () => !(await training.bus.manager.consumers.info("PREDICTIONS", "training-trials").catch(() => undefined)),
  );
  assert.deepEqual(await training.database.query({ text: "SELECT count(*)::int AS count FROM trial_answers" }), [
    { count: 0 },
  ]);
});

test("a shadow that proves clearly worse is rejected by itself, with the numbers, and the champion stays", async () => {
  const number = await accepted("worse-shadow");
  await questions.reading();
  await questions.ask(100, [
    { by: MadeBy.CHAMPION, version: 2, probability: good },
    { by: MadeBy.SHADOW, version: number, probability: bad },
  ]);
  await reaches(number, ModelState.REJECTED);
  assert.equal((await training.deployment())?.shadow, undefined);
  assert.equal(await champion(), 2);
  const rejection = (await training.events()).at(-1);
  assert.equal(rejection?.what, "rejected");
  assert.match(rejection?.reason ?? "", /log loss is 1\.\d+ against 0\.\d+: worse by 0\.8\d+, surely by/);
});

test("a trial goes on where it was after the service was stopped, and what was answered meanwhile counts", async () => {
  direction = -direction;
  const number = await accepted("restarted");
  await questions.reading();
  await questions.ask(60, [
    { by: MadeBy.CHAMPION, version: 2 },
    { by: MadeBy.SHADOW, version: number },
  ]);
  await waitFor(async () => (await training.registry.getModel({ app: APP, number })).trial?.seen === 60n);
  await training.stopService();
  await questions.ask(40, [
    { by: MadeBy.CHAMPION, version: 2 },
    { by: MadeBy.SHADOW, version: number },
  ]);
  await training.startService();
  await reaches(number, ModelState.CANARY);
  // A step is told once, however often the service starts.
  assert.deepEqual(await told(number), ["candidate", "accepted", "shadow", "canary"]);
});

test("a canary that leaves its questions to the champion is rejected before any outcome is known", async () => {
  const number = (await training.registry.listModels({ app: APP })).trial?.number ?? 0;
  await questions.ask(60, [{ by: MadeBy.CHAMPION, version: 2, reason: "the model took too long" }], {
    labelled: false,
  });
  await reaches(number, ModelState.REJECTED);
  assert.equal((await training.deployment())?.canary, undefined);
  const { history } = await training.registry.getModel({ app: APP, number });
  assert.match(history.at(-1)?.why ?? "", /champion had to answer 60 \(100\.0 %\)/);
});

test("a newer candidate waits; of several the newest is kept, and it begins when the one before has come to its end", async () => {
  direction = -direction;
  const first = await accepted("on-its-way");
  training.history = { rows: 6_000, direction };
  const [second, third] = [await again("waits"), await again("waits-too")];
  assert.equal(await stateOf(first), ModelState.SHADOW);
  assert.equal(await stateOf(second), ModelState.RETIRED);
  assert.equal(await stateOf(third), ModelState.CANDIDATE);
  await training.registry.retireModel({ app: APP, number: first, reason: "enough", author: "Ada" });
  assert.equal(await stateOf(third), ModelState.SHADOW);
  assert.equal((await training.deployment())?.shadow?.model?.number, third);
  assert.equal(await stateOf(first), ModelState.RETIRED);
});

test("changing the champion by hand keeps the shadow, which begins again beside the new one", async () => {
  const number = (await training.registry.listModels({ app: APP })).trial?.number ?? 0;
  await questions.reading();
  await questions.ask(50, [
    { by: MadeBy.CHAMPION, version: 2 },
    { by: MadeBy.SHADOW, version: number },
  ]);
  await waitFor(async () => (await training.registry.getModel({ app: APP, number })).trial?.seen === 50n);
  await training.registry.promoteModel({ app: APP, number: 1, reason: "as a test", author: "Ada" });
  const deployment = await training.deployment();
  assert.deepEqual([deployment?.champion?.number, deployment?.shadow?.model?.number], [1, number]);
  const { trial } = await training.registry.getModel({ app: APP, number });
  assert.deepEqual([trial?.champion, trial?.seen], [1, 0n]);
  const rolledBack = await training.registry.rollBackModel({ app: APP, reason: "back", number: 1 });
  assert.deepEqual(
    [rolledBack.deployment?.champion?.number, rolledBack.deployment?.shadow?.model?.number],
    [2, number],
  );
  await training.registry.retireModel({ app: APP, number, reason: "done" });
});

test("where a person decides, good evidence waits for a word, which takes one step at a time", async () => {
  await training.applyApp({ promotion: { ...PROMOTION, approval: Approval.PERSON } });
  direction = -direction;
  const number = await accepted("by-person");
  assert.equal(await stateOf(number), ModelState.SHADOW);
  await questions.reading();
  await questions.ask(100, [
    { by: MadeBy.CHAMPION, version: 2 },
    { by: MadeBy.SHADOW, version: number },
  ]);
  await waitFor(async () => (await training.registry.getModel({ app: APP, number })).trial?.waiting === true);
  // Committed first, then told.
  await waitFor(async () => (await told(number)).at(-1) === "waiting");
  assert.equal(await stateOf(number), ModelState.SHADOW);
  const wish = { app: APP, number, reason: "looks good", author: "Ada", from: ModelState.SHADOW };
  assert.equal((await training.registry.advanceModel(wish)).model?.state, ModelState.CANARY);
  assert.equal(
    (await training.registry.advanceModel(wish)).model?.state,
    ModelState.CANARY,
    "a repeated call changes nothing",
  );
  const last = { ...wish, from: ModelState.CANARY };
  assert.equal((await training.registry.advanceModel(last)).model?.state, ModelState.CHAMPION);
  assert.equal((await training.registry.advanceModel(last)).model?.state, ModelState.CHAMPION);
  assert.equal(await champion(), number);
  const { history } = await training.registry.getModel({ app: APP, number });
  assert.deepEqual([history.at(-1)?.who, history.at(-1)?.why], ["Ada", "looks good"]);
});

test("without steps a candidate waits for a person before it serves; a newer one takes its place", async () => {
  await training.applyApp({ promotion: { approval: Approval.PERSON } });
  const serving = await champion();
  const first = await accepted("asks");
  assert.equal(await stateOf(first), ModelState.CANDIDATE);
  assert.equal((await told(first)).at(-1), "waiting");
  training.history = { rows: 6_000, direction };
  const second = await again("asks-too");
  assert.equal(await stateOf(first), ModelState.RETIRED);
  assert.equal(await champion(), serving);
  await training.registry.advanceModel({ app: APP, number: second, reason: "yes" });
  assert.equal(await champion(), second);
});

/** Another candidate of the same world. */
async function again(id: string): Promise<number> {
  await training.runJob(id);
  return (await training.registry.listModels({ app: APP })).models[0]?.number ?? 0;
}
