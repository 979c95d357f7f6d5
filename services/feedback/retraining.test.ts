import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { AlertState, hourMs, TestFeedback } from "./feedbackForTests.ts";

let feedback: TestFeedback;
before(async () => {
  feedback = await TestFeedback.start();
});
after(() => feedback[Symbol.asyncDispose]());

test("an open drift alert about the champion asks for one training, whose end lets the next one come", async () => {
  const app = await feedback.app();
  await app.land({ flight: "f1", hour: 20, delay: 0 });
  await app.settled();
  await app.promote(1, 0);
  await app.land({ flight: "f2", hour: 50, delay: 0 });
  await app.settled();
  await app.alert(AlertState.OPEN, 50);
  await app.alert(AlertState.UPDATED, 50, 51);
  const jobs = await app.jobs();
  assert.deepEqual(
    jobs.map(({ id, trigger }) => [id, trigger]),
    [[`${app.name}-${hourMs(50)}`, "drift"]],
  );
  assert.match(jobs[0]?.reason ?? "", /hour has moved/);
  const { decisions } = await app.summary;
  assert.deepEqual(decisions.map(({ retrain }) => retrain).slice(0, 2), [false, true]);
  assert.match(decisions[0]?.reason ?? "", /has not ended/);
  // Its model goes on as a shadow and a canary, which no training waits for.
  await app.promote(2, 50, "accepted", jobs[0]?.id);
  await app.alert(AlertState.OPEN, 60);
  const [next] = (await app.summary).decisions;
  assert.equal(next?.trigger, "drift");
  assert.doesNotMatch(next.reason, /has not ended/);
});

test("after a roll-back alerts about the version before count again, although event time stands still", async () => {
  const app = await feedback.app();
  await app.land({ flight: "f1", hour: 50, delay: 0 });
  await app.settled();
  await app.promote(1, 0);
  await app.promote(2, 0);
  await app.land({ flight: "f2", hour: 80, delay: 0 });
  await app.settled();
  await app.alert(AlertState.OPEN, 50, 80);
  assert.deepEqual(await app.jobs(), []);
  await app.promote(1, 0, "rolled_back");
  assert.deepEqual(
    (await app.jobs()).map(({ trigger }) => trigger),
    ["drift"],
  );
});

test("by hand a training is asked for with a reason; a second one waits; bad data stands against it, and all is kept", async () => {
  const app = await feedback.app();
  const { client } = feedback;
  await app.land({ flight: "f1", hour: 20, delay: 0 });
  await app.settled();
  await app.promote(1, 0);
  await app.alert(AlertState.OPEN, 20, 20, "data_quality");
  const ask = { app: app.name, why: "a fix is in", who: "Ada" };
  const refused = (await client.requestRetraining(ask)).decision;
  assert.match(refused?.reason ?? "", /a fix is in Not now: the data_quality alert is open/);
  const granted = (await client.requestRetraining({ ...ask, despiteDataQuality: true })).decision;
  assert.equal(granted?.retrain, true);
  assert.deepEqual(
    (await app.jobs()).map(({ id, trigger }) => [id, trigger]),
    [[granted?.jobId, "manual"]],
  );
  assert.match((await client.requestRetraining(ask)).decision?.reason ?? "", /has not ended/);
  const { decisions } = await client.listDecisions({ app: app.name, max: 3 });
  assert.deepEqual(
    decisions.map(({ retrain, trigger }) => [retrain, trigger]),
    [
      [false, "manual"],
      [true, "manual"],
      [false, "manual"],
    ],
  );
  const page = await client.listDecisions({ app: app.name, max: 2, before: decisions[1]?.number ?? 0n });
  assert.deepEqual(
    page.decisions.map(({ number }) => number),
    [decisions[2]?.number, (decisions[2]?.number ?? 0n) - 1n],
  );
  const call = client.requestRetraining({ app: app.name, why: " " });
  await assert.rejects(call, { code: "invalid_argument", message: /why is required/ });
});

test("the budget counts what was trained before, also by hand at the registry", async () => {
  const app = await feedback.app([
    /retraining:\n( {2}.*\n)+/,
    "retraining: { on: [DRIFT], budget: { trainings: 2, per: 30d } }\n",
  ]);
  await app.land({ flight: "f1", hour: 20, delay: 0 });
  await app.settled();
  await app.promote(1, 0);
  await app.alert(AlertState.OPEN, 20);
  const [job] = await app.jobs();
  assert.equal(job?.trigger, "drift");
  await app.promote(1, 20, "rejected", job?.id);
  await app.alert(AlertState.OPEN, 21);
  const { decisions } = await feedback.client.listDecisions({ app: app.name, max: 1 });
  assert.match(decisions[0]?.reason ?? "", /2 trainings in the last 30 days; the budget is 2/);
});
