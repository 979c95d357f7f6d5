import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decideByHand,
  decideRetraining,
  type RetrainingRules,
  type RetrainingState,
  type TriggerName,
} from "./retrainingPolicy.ts";

const DAY_MS = 86_400_000;
const RULES: RetrainingRules = {
  everyMs: 7 * DAY_MS,
  on: new Set(["schedule", "drift", "performance", "estimated_performance"]),
  minNewLabels: 100,
  cooldownMs: 2 * DAY_MS,
  everyLabels: 0,
  budget: undefined,
};
const without = (...names: readonly TriggerName[]) => ({ on: RETRAINED_ON.difference(new Set(names)) });
const RETRAINED_ON: ReadonlySet<TriggerName> = RULES.on;

/** An app on day 30 whose model was trained on day 27 with 1,000 labels, and that has seen 500 since. */
const state = (changes: Partial<RetrainingState> = {}): RetrainingState => ({
  app: "app",
  eventTimeMs: 30 * DAY_MS,
  champion: { version: "app/1", asOfMs: 27 * DAY_MS },
  labels: 1_500,
  firstLabelAtMs: 0,
  asked: true,
  lastJob: { id: "job-27", asOfMs: 27 * DAY_MS, running: false, labelsThen: 1_000 },
  trainedAtMs: [],
  alerts: [],
  ...changes,
});

const job = (day: number, running = false, labelsThen = 1_000) => ({
  id: `job-${day}`,
  asOfMs: day * DAY_MS,
  running,
  labelsThen,
});
const alert = (monitor: string, modelVersion = "app/1", openedOnDay = 29) => ({
  monitor,
  modelVersion,
  title: `${monitor} moved`,
  openedAtMs: openedOnDay * DAY_MS,
});
const decide = (changes: Partial<RetrainingState>, rules: Partial<RetrainingRules> = {}) =>
  decideRetraining({ ...RULES, ...rules }, state(changes));

test("nothing asks: no alert is open, and the schedule is not due", () => {
  const decision = decide({});
  assert.deepEqual([decision.retrain, decision.trigger, decision.code], [false, "", "nothing_asks"]);
  assert.match(decision.reason, /app\/1 .*every 7 days/);
});

test("the schedule counts event time since the last training, promoted or rejected", () => {
  assert.equal(decide({ eventTimeMs: 34 * DAY_MS }).trigger, "schedule");
  assert.equal(decide({ eventTimeMs: 34 * DAY_MS }).retrain, true);
  assert.equal(decide({ eventTimeMs: 34 * DAY_MS - 1 }).retrain, false);
  assert.equal(decide({ eventTimeMs: 36 * DAY_MS, lastJob: job(33) }).code, "nothing_asks");
  assert.equal(decide({ eventTimeMs: 40 * DAY_MS }, without("schedule")).code, "nothing_asks");
});

test("an open alert about the champion asks, performance before drift; about an older model it does not", () => {
  assert.equal(decide({ alerts: [alert("drift")] }).trigger, "drift");
  assert.equal(decide({ alerts: [alert("drift"), alert("performance")] }).trigger, "performance");
  assert.match(decide({ alerts: [alert("drift")] }).reason, /drift moved/);
  assert.equal(decide({ alerts: [alert("drift", "app/0")] }).retrain, false);
  assert.equal(decide({ alerts: [alert("drift")] }, without("drift")).retrain, false);
  assert.equal(decide({ alerts: [alert("fallback")] }).retrain, false);
});

test("a drift alert has one training; a measured loss asks again until it is gone", () => {
  const openedBefore = (monitor: string) => decide({ alerts: [alert(monitor, "app/1", 26)] });
  assert.equal(openedBefore("drift").code, "nothing_asks");
  assert.equal(openedBefore("performance").trigger, "performance");
  assert.equal(decide({ alerts: [alert("drift", "app/1", 26)], eventTimeMs: 34 * DAY_MS }).trigger, "schedule");
});

test("a training that runs, the cool-down and too few labels stand against it, each with its reason", () => {
  const asking = { alerts: [alert("drift", "app/1", 30)] };
  const hindrances = [
    decide({ ...asking, lastJob: job(20, true) }),
    decide({ ...asking, lastJob: job(29) }),
    decide({ ...asking, labels: 1_099 }),
  ];
  assert.deepEqual(
    hindrances.map(({ retrain, code }) => [retrain, code]),
    [
      [false, "drift:running"],
      [false, "drift:cooldown"],
      [false, "drift:few_labels"],
    ],
  );
  assert.match(hindrances[1]?.reason ?? "", /1 days ago; the cool-down is 2 days/);
  assert.match(hindrances[2]?.reason ?? "", /99 new labels; at least 100/);
});

test("the first model waits for somebody to ask, a schedule's worth of history, and enough labels", () => {
  const fresh = { champion: undefined, lastJob: undefined };
  assert.equal(decide(fresh).trigger, "first_model");
  assert.equal(decide(fresh).retrain, true);
  assert.equal(decide({ ...fresh, asked: false }).retrain, false);
  assert.equal(decide({ ...fresh, firstLabelAtMs: 24 * DAY_MS }).retrain, false);
  assert.equal(decide({ ...fresh, firstLabelAtMs: undefined }).retrain, false);
  assert.equal(decide({ ...fresh, labels: 99 }).code, "first_model:few_labels");
});

test("a first training that failed or was rejected is tried again after another period only", () => {
  const tried = { champion: undefined, lastJob: job(25, false, 0) };
  assert.equal(decide(tried).retrain, false);
  assert.equal(decide({ ...tried, eventTimeMs: 32 * DAY_MS }).retrain, true);
});

test("an app without rules is retrained by hand", () => {
  assert.equal(decideRetraining(undefined, state({ alerts: [alert("drift")] })).code, "by_hand");
});

test("a decision is of the moment when its reasons were there, however late somebody looks; after a day it is of now", () => {
  const hour = DAY_MS / 24;
  const at = (changes: Partial<RetrainingState>, rules: Partial<RetrainingRules> = {}): number =>
    decide(changes, rules).atMs;
  assert.equal(at({ eventTimeMs: 34 * DAY_MS + 5 * hour }), 34 * DAY_MS);
  assert.equal(at({ eventTimeMs: 36 * DAY_MS }), 36 * DAY_MS);
  assert.equal(at({ alerts: [alert("drift", "app/1", 30)], eventTimeMs: 30 * DAY_MS + hour }), 30 * DAY_MS);
  // The cool-down ended later than the alert opened.
  const cooling = { alerts: [alert("drift", "app/1", 29)], eventTimeMs: 30 * DAY_MS + 2 * hour };
  assert.equal(at(cooling, { cooldownMs: 3 * DAY_MS }), 30 * DAY_MS);
});

test("no two decisions to train are of the same moment", () => {
  const changes = { alerts: [alert("performance", "app/1", 29)], lastJob: job(30), eventTimeMs: 30 * DAY_MS + 1 };
  assert.equal(decide(changes, { cooldownMs: 0, minNewLabels: 0 }).atMs, 30 * DAY_MS + 1);
});

test("so many new labels ask, as soon as they are there, also for a first model", () => {
  const everyLabels = { everyLabels: 500, on: new Set<TriggerName>(["volume"]) };
  assert.equal(decide({}, everyLabels).trigger, "volume");
  assert.match(decide({}, everyLabels).reason, /500 new labels; a training is wanted every 500/);
  assert.equal(decide({ labels: 1_499 }, everyLabels).code, "nothing_asks");
  assert.equal(decide({}, { ...everyLabels, on: new Set<TriggerName>() }).code, "nothing_asks");
  assert.equal(decide({ champion: undefined, lastJob: undefined, labels: 499 }, everyLabels).retrain, false);
  assert.equal(decide({ champion: undefined, lastJob: undefined, labels: 500 }, everyLabels).trigger, "first_model");
});

test("an estimated loss asks once, after a measured one and before drift", () => {
  const estimated = alert("estimated_performance");
  assert.equal(decide({ alerts: [alert("drift"), estimated] }).trigger, "estimated_performance");
  assert.equal(decide({ alerts: [estimated, alert("performance")] }).trigger, "performance");
  assert.equal(decide({ alerts: [alert("estimated_performance", "app/1", 26)] }).code, "nothing_asks");
  assert.equal(decide({ alerts: [estimated] }, without("estimated_performance")).code, "nothing_asks");
});

test("the budget holds back what is over it, until the oldest training has left the period", () => {
  const budget = { budget: { trainings: 2, perMs: 14 * DAY_MS } };
  const asking = { alerts: [alert("drift", "app/1", 30)] };
  const trained = (...daysOf: number[]) =>
    decide({ ...asking, trainedAtMs: daysOf.map((day) => day * DAY_MS) }, budget);
  assert.equal(trained(20, 27).code, "drift:budget");
  assert.match(trained(20, 27).reason, /2 trainings in the last 14 days; the budget is 2/);
  assert.equal(trained(16, 27).retrain, true);
});

test("while data quality is bad nothing is trained, whoever asks, but by hand in spite of it", () => {
  const bad = {
    alerts: [alert("drift", "app/1", 30), { ...alert("data_quality", "app/0"), title: "distance went missing" }],
  };
  assert.equal(decide(bad).code, "drift:data_quality");
  assert.match(decide(bad).reason, /distance went missing/);
  const asked = { why: "a fix is in", who: "Ada", despiteDataQuality: false };
  assert.equal(decideByHand(asked, state(bad)).code, "manual:data_quality");
  assert.equal(decideByHand({ ...asked, despiteDataQuality: true }, state(bad)).retrain, true);
});

test("by hand neither cool-down nor labels nor budget count, only that one training runs at a time", () => {
  const asked = { why: "a fix is in", who: "Ada", despiteDataQuality: false };
  const now = decideByHand(asked, state({ labels: 1_000, lastJob: job(30) }));
  assert.deepEqual([now.retrain, now.trigger, now.atMs], [true, "manual", 30 * DAY_MS + 1]);
  assert.equal(now.reason, "Ada asks for it: a fix is in");
  assert.equal(decideByHand(asked, state({ lastJob: job(29, true) })).code, "manual:running");
});
