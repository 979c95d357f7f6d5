import assert from "node:assert/strict";
import { test } from "node:test";
import { type AlertChange, type AlertMemory, nextAlert } from "./alertPolicy.ts";
import type { Evidence } from "./judgement.ts";

const DAY_MS = 86_400_000;
const psi = (subject: string, value: number): Evidence => ({
  subject,
  statistic: "psi",
  value,
  limit: 0.25,
  pValue: 0,
});

/** Judges a day after the other; each is what was found, or that of another model. */
function live(days: readonly (readonly Evidence[])[], version: (day: number) => string = () => "app/1"): AlertChange[] {
  let memory: AlertMemory | undefined;
  return days.flatMap((evidence, day) => {
    const window = { app: "app", modelVersion: version(day), fromMs: day * DAY_MS, toMs: (day + 1) * DAY_MS, hold: 2 };
    // Between windows it is stored as JSON.
    const next = nextAlert(memory && JSON.parse(JSON.stringify(memory)), { monitor: "drift", evidence }, window);
    memory = next.memory;
    return next.changes;
  });
}

const statesOf = (changes: readonly AlertChange[]): string[] =>
  changes.map(({ state, changedAtMs }) => `${state} ${changedAtMs / DAY_MS}`);

const QUIET: readonly Evidence[] = [];
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

test("another input, or an effect that grew by half, is worth an update", () => {
  const both = [psi("distance", 0.4), psi("delay", 0.3)];
  assert.deepEqual(statesOf(live([SHIFT, SHIFT, both, both, [psi("distance", 0.5), psi("delay", 0.3)]])), [
    "open 2",
    "updated 3",
  ]);
  assert.deepEqual(statesOf(live([SHIFT, SHIFT, [psi("distance", 0.7)]])), ["open 2", "updated 3"]);
});

test("small steps add up: what counts is the change since it was last told", () => {
  const growing = [0.4, 0.4, 0.5, 0.58, 0.61].map((value) => [psi("distance", value)]);
  assert.deepEqual(statesOf(live(growing)), ["open 2", "updated 5"]);
});

test("a model that takes over resolves what its predecessor caused, and starts afresh", () => {
  const changes = live([SHIFT, SHIFT, SHIFT, SHIFT], (day) => (day < 2 ? "app/1" : "app/2"));
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
