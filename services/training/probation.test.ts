import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { ModelState } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { waitFor } from "@millrace/test-harness";
import { APP, TestTraining } from "./serviceForTests.ts";
import { bad, good, TrialQuestions } from "./trialQuestionsForTests.ts";

const PROBATION = { probation: { outcomes: 400, share: 0.5 } };

let training: TestTraining;
let questions: TrialQuestions;
before(async () => {
  training = await TestTraining.start();
  questions = new TrialQuestions(training);
  await training.applyApp({ promotion: PROBATION });
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

const trial = async () => (await training.registry.listModels({ app: APP })).trial;
const seen = (count: bigint) => waitFor(async () => (await trial())?.seen === count, { deadlineMs: 10_000 });
const serving = async () => {
  const { champion, previous, shadow } = (await training.deployment()) ?? {};
  return [champion?.number, previous?.number, shadow?.model?.number];
};
const lastOf = async (number: number) => (await training.registry.getModel({ app: APP, number })).history.at(-1);
const wish = (number: number) => ({ app: APP, number, reason: "a test", author: "Ada" });

/** Both are asked the same; the new champion's answers have the truth. */
const both = (champion: number, before: number, own = good, other = good) => [
  { by: MadeBy.CHAMPION, version: champion, probability: own },
  { by: MadeBy.SHADOW, version: before, probability: other },
];

// The tests build on each other: one app's champions, one after the other.

test("the first champion has no probation; the next keeps the one before as its shadow", async () => {
  assert.equal(await accepted("first"), 1);
  assert.equal(await trial(), undefined);
  assert.equal(await accepted("second"), 2);
  assert.deepEqual(await serving(), [2, 1, 1]);
  assert.equal((await training.deployment())?.shadow?.percent, 50);
  const { number, champion, stage, needed } = (await trial()) ?? {};
  assert.deepEqual([number, champion, stage, needed], [2, 1, ModelState.CHAMPION, 400n]);
  assert.match(
    (await lastOf(2))?.why ?? "",
    /on probation until 400 outcomes are known; flights\/1 is asked beside it/,
  );
});

test("a champion that does clearly worse than the one before is rolled back by itself before all outcomes have come, also after a restart, once", async () => {
  await questions.reading();
  await questions.ask(60, both(2, 1, bad));
  await questions.ask(50, [{ by: MadeBy.CHAMPION, version: 2, probability: good }]);
  await seen(60n);
  await training.stopService();
  await questions.ask(40, both(2, 1, bad));
  await training.startService();
  await waitFor(async () => (await training.deployment())?.champion?.number === 1, { deadlineMs: 10_000 });
  assert.deepEqual(await serving(), [1, undefined, undefined]);
  const failed = await lastOf(2);
  assert.deepEqual([failed?.state, failed?.who], [ModelState.RETIRED, "promotion policy"]);
  assert.match(
    failed?.why ?? "",
    /^flights\/2 did worse than flights\/1 .* rolled back\. With the truth of 100 .* worse by 0\.8\d+/,
  );
  assert.equal(await trial(), undefined);
  await training.stopService();
  await training.startService();
  const told = (await training.events()).filter(({ what }) => what === "rolled_back");
  assert.deepEqual(
    told.map(({ model, rolledBack, reason }) => [model?.number, rolledBack, reason]),
    [[1, 2, failed?.why]],
  );
  assert.ok((told[0]?.figures["loss_increase"] ?? 0) > 0.8);
});

test("a champion that does no worse ends its probation quietly; the candidate that waited for it begins then", async () => {
  await training.applyApp({ promotion: { ...PROBATION, shadow: { predictions: 100 } } });
  await training.registry.promoteModel(wish(2));
  assert.deepEqual(await serving(), [2, 1, 1], "a person's promotion, too");
  const waiting = await accepted("waits");
  assert.equal((await training.registry.getModel({ app: APP, number: waiting })).model?.state, ModelState.CANDIDATE);
  assert.match((await lastOf(waiting))?.why ?? "", /waits until flights\/2 has stood its probation/);
  await questions.reading();
  await questions.ask(400, both(2, 1));
  await waitFor(async () => (await serving())[2] === waiting, { deadlineMs: 10_000 });
  assert.deepEqual(await serving(), [2, 1, waiting]);
  const ended = await lastOf(2);
  assert.deepEqual([ended?.state, ended?.figures["outcomes"]], [ModelState.CHAMPION, 400]);
  assert.match(ended?.why ?? "", /^Its probation is over\. With the truth of 400 .* not clearly worse/);
});

test("a version on its way waits for the probation of a champion that was made by hand, unless that is to have none", async () => {
  const onItsWay = (await trial())?.number ?? 0;
  await training.registry.promoteModel({ ...wish(1), withoutProbation: true });
  assert.deepEqual(await serving(), [1, 2, onItsWay]);
  await training.registry.promoteModel(wish(2));
  assert.deepEqual(await serving(), [2, 1, 1]);
  assert.match((await lastOf(onItsWay))?.why ?? "", /flights\/2 was made the champion: it waits/);
  // Another champion ends the probation, and has its own.
  await training.registry.promoteModel(wish(1));
  assert.deepEqual(await serving(), [1, 2, 2]);
  assert.match((await lastOf(2))?.why ?? "", /probation ended when flights\/1 was made the champion/);
  assert.equal((await lastOf(onItsWay))?.state, ModelState.CANDIDATE);
});

test("a person ends a probation by a roll-back, or by a word, which may be repeated", async () => {
  await training.registry.rollBackModel({ app: APP, reason: "back", number: 1 });
  const { number: waited = 0, stage } = (await trial()) ?? {};
  assert.equal(
    stage,
    ModelState.SHADOW,
    "the one that waited begins beside the champion that it was to be compared with",
  );
  assert.deepEqual(await serving(), [2, undefined, waited]);
  await training.registry.retireModel(wish(waited));
  await training.registry.promoteModel(wish(1));
  for (let time = 0; time < 2; time += 1) {
    const { model } = await training.registry.advanceModel({ ...wish(1), from: ModelState.CHAMPION });
    assert.equal(model?.state, ModelState.CHAMPION);
    assert.deepEqual(await serving(), [1, 2, undefined]);
  }
  assert.match((await lastOf(1))?.why ?? "", /probation is over\. a test/);
});
