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
