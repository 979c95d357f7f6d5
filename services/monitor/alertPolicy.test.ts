import assert from "node:assert/strict";
import { test } from "node:test";
import { type AlertChange, NOTHING_YET, nextAlerts, type PolicyMemory } from "./alertPolicy.ts";
import type { Sources } from "./causes.ts";
import type { Measurement } from "./judgement.ts";

const DAY_MS = 86_400_000;
const psi = (subject: string, value: number, pValue = 0): Measurement => ({
  monitor: "drift",
  subject,
  statistic: "psi",
  value,
  limit: 0.25,
  pValue,
});
const gap = (subject: string, value: number): Measurement => ({
  ...psi(subject, value),
  monitor: "data_quality",
  statistic: "missing_increase",
  limit: 0.1,
});

interface Life {
  readonly version?: (day: number) => string;
  readonly holdOf?: number;
  readonly sources?: Sources;
}

const ONE_SOURCE: Sources = new Map([
  ["distance", ["flight.scheduled.distance"]],
  ["delay", ["flight.scheduled.distance"]],
]);

/** Judges a day after the other; each is what was measured. */
function live(days: readonly (readonly Measurement[])[], life: Life = {}): AlertChange[] {
  const { version = () => "app/1", holdOf = 2, sources = ONE_SOURCE } = life;
  let memory: PolicyMemory = NOTHING_YET;
  return days.flatMap((measured, day) => {
    const times = { fromMs: day * DAY_MS, toMs: (day + 1) * DAY_MS };
    const window = { app: "app", modelVersion: version(day), ...times, hold: 2, holdOf, sources };
    // Between windows it is stored as JSON.
    const next = nextAlerts(JSON.parse(JSON.stringify(memory)) as PolicyMemory, measured, window);
    memory = next.memory;
    return next.changes;
  });
}

const statesOf = (changes: readonly AlertChange[]): string[] =>
  changes.map(({ state, changedAtMs }) => `${state} ${changedAtMs / DAY_MS}`);

const QUIET = [psi("distance", 0.01, 0.9), psi("delay", 0.01, 0.9)];
const SHIFT = [psi("distance", 0.4)];

test("one window alone opens nothing, however large", () => {
  assert.deepEqual(live([QUIET, [psi("distance", 9)], QUIET, [psi("distance", 9)], QUIET]), []);
});

test("it opens once, stays silent while nothing changes, and resolves after as many quiet windows", () => {
  const changes = live([SHIFT, SHIFT, SHIFT, SHIFT, QUIET, SHIFT, QUIET, QUIET, QUIET]);
  assert.deepEqual(statesOf(changes), ["open 2", "resolved 8"]);
  assert.equal(changes[0]?.id, changes[1]?.id);
  assert.match(changes[0]?.title ?? "", /^distance \(PSI 0\.400, limit 0\.250\) .* since 1970-01-01 00:00 UTC/);
  assert.match(changes[1]?.title ?? "", /^Resolved, back within limits for 2 windows/);
});

test("another input of the same cause, once it has held, or an effect that grew by half, is worth an update", () => {
  const both = [psi("distance", 0.4), psi("delay", 0.3)];
  assert.deepEqual(statesOf(live([SHIFT, SHIFT, both, both, [psi("distance", 0.5), psi("delay", 0.3)]])), [
    "open 2",
    "updated 4",
  ]);
  assert.deepEqual(statesOf(live([SHIFT, SHIFT, [psi("distance", 0.7)]])), ["open 2", "updated 3"]);
});

test("small steps add up: what counts is the change since it was last told", () => {
  const growing = [0.4, 0.4, 0.5, 0.58, 0.61].map((value) => [psi("distance", value)]);
  assert.deepEqual(statesOf(live(growing)), ["open 2", "updated 5"]);
});

test("rises and falls of what was told are no news", () => {
  const days = [0.9, 0.9, 0.3, 1.2, 0.3, 1.2].map((value) => [psi("distance", value)]);
  assert.deepEqual(statesOf(live(days)), ["open 2"]);
});

test("a model that takes over resolves what its predecessor caused, and starts afresh", () => {
  const changes = live([SHIFT, SHIFT, SHIFT, SHIFT], { version: (day) => (day < 2 ? "app/1" : "app/2") });
  assert.deepEqual(
    changes.map(({ state, modelVersion }) => [state, modelVersion]),
    [
      ["open", "app/1"],
      ["resolved", "app/1"],
      ["open", "app/2"],
    ],
  );
  assert.notEqual(changes[0]?.id, changes[2]?.id);
});

test("with two of three windows, a quiet one between does not hide it; a second spike a week later is none", () => {
  assert.deepEqual(statesOf(live([SHIFT, QUIET, SHIFT], { holdOf: 3 })), ["open 3"]);
  assert.deepEqual(live([SHIFT, QUIET, QUIET, SHIFT, QUIET], { holdOf: 3 }), []);
});

test("an effect that may well be chance opens nothing, however large, nor does a sure one that does not matter", () => {
  const chance = [psi("distance", 9, 0.2)];
  const small = [psi("distance", 0.2, 0)];
  assert.deepEqual(live([chance, chance, chance, small, small, small]), []);
});

test("the more is watched, the surer it has to be", () => {
  const one = [psi("distance", 0.4, 0.02)];
  const among = [...one, ...Array.from({ length: 20 }, (_, index) => psi(`x${index}`, 0.01, 0.9))];
  assert.deepEqual(statesOf(live([one, one])), ["open 2"]);
  assert.deepEqual(live([among, among]), []);
});

test("at the line where it opened an alert does not resolve", () => {
  const above = [psi("distance", 0.3)];
  const line = [psi("distance", 0.24, 0.01)];
  assert.deepEqual(statesOf(live([above, above, line, line, line, QUIET, QUIET])), ["open 2", "resolved 7"]);
});

/** Four inputs are made from the delay of a landing, three of them by airport; one from the request. */
const SOURCES: Sources = new Map([
  ["late_1h", ["flight.landed.delay", "flight.landed.origin"]],
  ["late_6h", ["flight.landed.delay", "flight.landed.origin"]],
  ["route", ["flight.landed.delay", "flight.landed.origin"]],
  ["there", ["flight.landed.delay", "flight.landed.destination"]],
  ["distance", ["flight.scheduled.distance"]],
  ["speed", ["flight.scheduled.distance", "flight.scheduled.plane"]],
  ["mass", ["flight.scheduled.plane"]],
]);

test("a field that is no longer sent is one alert about it, with all that is made from it and what follows", () => {
  const missing = ["late_1h", "late_6h", "route", "there"].map((name) => ({ ...gap(name, 0.9), importance: 0.15 }));
  const day = [...missing, gap("distance", 0), psi("distance", 0.01, 0.5), psi("prediction", 0.6)];
  const [opened, ...others] = live([day, day, day], { sources: SOURCES });
  assert.deepEqual(others, []);
  assert.equal(opened?.monitor, "data_quality");
  assert.equal(opened?.severity, "critical");
  assert.deepEqual(opened?.causes, ["flight.landed.delay"]);
  assert.equal(opened?.evidence.length, 5);
  assert.match(opened?.advice ?? "", /All of late_1h, late_6h, route and there are made from flight\.landed\.delay/);
  assert.match(opened?.advice ?? "", /carry 60\.0 % of what all inputs are worth/);
});

test("what has no common cause is told apart", () => {
  const day = [psi("late_1h", 0.5), psi("distance", 0.4), psi("speed", 0.9), psi("mass", 0.01, 0.5)];
  const changes = live([day, day], { sources: SOURCES });
  assert.deepEqual(
    changes.map(({ causes, evidence }) => [causes, evidence.map(({ subject }) => subject)]),
    [
      [["flight.scheduled.distance"], ["speed", "distance"]],
      [["flight.landed.delay"], ["late_1h"]],
    ],
  );
  assert.equal(new Set(changes.map(({ id }) => id)).size, 2);
});

test("what goes wrong later for the same cause joins the alert that is open", () => {
  const first = [psi("late_1h", 0.5), psi("route", 0.01, 0.5)];
  const later = [psi("late_1h", 0.5), psi("route", 0.5)];
  const changes = live([first, first, later, later, later], { sources: SOURCES });
  assert.deepEqual(statesOf(changes), ["open 2", "updated 4"]);
  assert.equal(changes[0]?.id, changes[1]?.id);
});

test("alerts about truth and about inputs live side by side, each judged when it is due", () => {
  const loss: Measurement = {
    ...psi("log_loss", 0.2),
    monitor: "performance",
    statistic: "log_loss_increase",
    limit: 0.05,
  };
  const quiet = { ...loss, value: 0, pValue: 0.5 };
  const changes = live([SHIFT, SHIFT, [loss], [loss], QUIET, QUIET, [quiet], [quiet]]);
  assert.deepEqual(
    changes.map(({ monitor, state }) => `${monitor} ${state}`),
    ["drift open", "performance open", "drift resolved", "performance resolved"],
  );
  // What is wrong with the inputs may well be why.
  assert.deepEqual(changes[1]?.causes, ["flight.scheduled.distance"]);
  assert.match(
    changes[1]?.advice ?? "",
    /open alert about what is made from flight\.scheduled\.distance: look there first/,
  );
});
