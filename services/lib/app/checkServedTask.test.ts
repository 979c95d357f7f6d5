import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import type { MillraceError } from "@millrace/runtime";
import { parseApp } from "./parseApp.ts";

const APPS = new URL("../../../deploy/apps/", import.meta.url);
const readApp = (name: string): string => readFileSync(new URL(`${name}/app.yaml`, APPS), "utf8");
const [BINARY, REGRESSION, MULTICLASS] = ["flight-delays", "flight-delay-minutes", "flight-delay-class"].map(
  readApp,
) as [string, string, string];

/** What is wrong with an app after an edit. */
function problemsOf(app: string, from: RegExp | string, to: string): string[] {
  const edited = app.replace(from, to);
  assert.notEqual(edited, app, String(from));
  try {
    parseApp(edited);
  } catch (error) {
    return (error as MillraceError).violations.map(({ field, reason }) => `${field} ${reason}`);
  }
  return [];
}

test("every example app can be applied", () => {
  const names = readdirSync(APPS, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  assert.ok(names.length >= 3);
  for (const { name } of names) assert.equal(parseApp(readApp(name)).app, name);
});

test("probabilities are decided by probabilities, numbers by any number", () => {
  assert.deepEqual(problemsOf(BINARY, "constant: 0.2", "constant: 1.5"), ["serving.constant out_of_range"]);
  assert.deepEqual(problemsOf(BINARY, "at_least: 0.5", "at_least: 5"), ["serving.decisions[0].at_least out_of_range"]);
  const abstain = problemsOf(BINARY, "constant: 0.2", "constant: 0.2\n  abstain: { from: -1, to: 2 }");
  assert.ok(
    abstain.includes("serving.abstain.from out_of_range") && abstain.includes("serving.abstain.to out_of_range"),
  );
  assert.deepEqual(problemsOf(REGRESSION, "constant: 5", "constant: -30.5"), []);
  assert.deepEqual(problemsOf(REGRESSION, "constant: 5", "constant: 5\n  abstain: { from: 10, to: 20 }"), []);
  assert.deepEqual(problemsOf(REGRESSION, "at_least: 15", "at_least: 95"), [
    "serving.decisions[1].at_least not_descending",
  ]);
  const cost = problemsOf(REGRESSION, "at_least: 90", "cost: { positive: 1, negative: 0 }");
  assert.ok(cost.includes("serving.decisions[0].cost does_not_fit"), cost.join());
});

test("the decision about a class is the class: its constant is one, and it abstains below a probability", () => {
  const cases: readonly (readonly [from: RegExp | string, to: string, problem: string])[] = [
    ["constant_class: on-time", "constant: 0.5", "serving.constant does_not_fit"],
    ["  constant_class: on-time\n", "", "serving.constant_class missing"],
    ["constant_class: on-time", "constant_class: cancelled", "serving.constant_class unknown_class"],
    ["{ to: 50%,", "{ from: 10%, to: 50%,", "serving.abstain.from does_not_fit"],
    ["{ to: 50%,", "{ to: 150%,", "serving.abstain.to out_of_range"],
    ["decision: unsure", "decision: late", "serving.abstain.decision repeated"],
    ["  abstain:", "  decisions: [{ name: call, at_least: 0.5 }]\n  abstain:", "serving.decisions does_not_fit"],
  ];
  for (const [from, to, problem] of cases) {
    const problems = problemsOf(MULTICLASS, from, to);
    assert.ok(problems.includes(problem), `${to}: ${problems.join()}`);
  }
  const others = problemsOf(REGRESSION, "constant: 5", "constant_class: late");
  assert.deepEqual(others, ["serving.constant_class does_not_fit"]);
});

test("what goes by a probability of yes or no is refused for other tasks", () => {
  for (const app of [REGRESSION, MULTICLASS]) {
    assert.deepEqual(problemsOf(app, "  seed: 1\n", "  promotion: { shadow: { predictions: 100 } }\n"), [
      "model.promotion.shadow does_not_fit",
    ]);
  }
  assert.deepEqual(problemsOf(REGRESSION, "max_psi: 0.1", "max_log_loss_increase: 0.1"), [
    "monitoring.max_log_loss_increase does_not_fit",
  ]);
  const review = "wait: 36h\n  review: { from: 0.2, to: 0.5, per_day: 5 }";
  assert.deepEqual(problemsOf(REGRESSION, "wait: 36h", review), ["label.review does_not_fit"]);
  assert.deepEqual(problemsOf(MULTICLASS, "wait: 36h", review), []);
});
