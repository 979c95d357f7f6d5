import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { MillraceError } from "@millrace/runtime";
import { checkCompatible } from "./compatibility.ts";
import { parseApp } from "./parseApp.ts";

const FLIGHTS = readFileSync(new URL("../../../deploy/apps/flight-delays/app.yaml", import.meta.url), "utf8");

function mistakes(from: string | RegExp, to: string): string[] {
  const text = FLIGHTS.replace(from, to);
  assert.notEqual(text, FLIGHTS);
  try {
    parseApp(text);
  } catch (error) {
    return (error as MillraceError).violations.map(({ field, reason }) => `${field} ${reason}`);
  }
  return [];
}

const retraining = (rules: string): string[] => mistakes(/retraining:\n( {2}.*\n)+/, `retraining: ${rules}\n`);

test("rules of retraining that could never be kept, or would never matter, are mistakes", () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ["{ every: 7d, every_labels: 5000, budget: { trainings: 10, per: 30d } }", []],
    ["{ every: 1s }", ["retraining.every out_of_range"]],
    ["{ every: 7d, cooldown: 8d }", ["retraining.cooldown out_of_range"]],
    ["{ every: 7d, budget: { trainings: 2, per: 30d } }", ["retraining.budget out_of_range"]],
    ["{ every: 7d, budget: { per: 30d } }", ["retraining.budget.trainings uint32.gte"]],
    ["{ every: 7d, budget: { trainings: 5 } }", ["retraining.budget.per required"]],
    ["{ every_labels: 100, min_new_labels: 200 }", ["retraining.every_labels out_of_range"]],
    ["{ on: [SCHEDULE, VOLUME] }", ["retraining.on[0] never_asks", "retraining.on[1] never_asks"]],
    [
      "{ on: [DRIFT], every: 7d, every_labels: 100 }",
      ["retraining.every never_asked", "retraining.every_labels never_asked"],
    ],
    ["{ on: [DRIFT, DRIFT] }", ["retraining.on[1] repeated"]],
    ["{ on: [ESTIMATED_PERFORMANCE] }", []],
  ];
  for (const [rules, expected] of cases) assert.deepEqual(retraining(rules), expected, rules);
});

test("triggers that go by the monitor's alerts need a monitor", () => {
  const expected = ["retraining.on[1] never_asks", "retraining.on[2] never_asks"];
  assert.deepEqual(mistakes(/monitoring:\n( {2}.*\n)+/, ""), expected);
});

test("how early a label may be, and how late a correction, has to make sense", () => {
  assert.deepEqual(mistakes("wait: 36h", "wait: 36h\n  early: 0s\n  corrections: 36h"), []);
  assert.deepEqual(mistakes("wait: 36h", "wait: 36h\n  corrections: 1h"), ["label.corrections out_of_range"]);
  assert.deepEqual(mistakes("wait: 36h", "wait: 36h\n  early: 37h"), ["label.early out_of_range"]);
});

test("a review needs probabilities that are uncertain: its own, or those for which the policy abstains", () => {
  const review = (rules: string): string[] => mistakes("wait: 36h", `wait: 36h\n  review: ${rules}`);
  assert.deepEqual(review("{ from: 40%, to: 60%, per_day: 50 }"), []);
  assert.deepEqual(review("{ per_day: 50 }"), ["label.review missing"]);
  assert.deepEqual(review("{ from: 0.6, to: 0.4, per_day: 50 }"), ["label.review.from empty_range"]);
  assert.deepEqual(review("{ from: 0.4, to: 0.6 }"), ["label.review.per_day uint32.gte_lte"]);
  assert.deepEqual(review("{ from: 0.4, to: 0.6, per_day: 5, expires: 1s }"), ["label.review.expires out_of_range"]);
});

test("an app that takes reported labels has their event type, which it must not declare and may give up again", () => {
  const reporting = parseApp(FLIGHTS.replace("wait: 36h", "wait: 36h\n  reports: true"));
  assert.equal(reporting.events["label.reported"]?.fields["flight_id"]?.required, true);
  assert.deepEqual(checkCompatible(reporting, parseApp(FLIGHTS)), []);
  assert.deepEqual(mistakes("  flight.landed:", "  label.reported: { version: 1 }\n  flight.landed:"), [
    'events["label.reported"] reserved',
  ]);
});

test("a share is held out of decisions, so there have to be some", () => {
  assert.deepEqual(mistakes("wait: 36h", "wait: 36h\n  hold_out: 2%"), []);
  assert.deepEqual(mistakes("wait: 36h", "wait: 36h\n  hold_out: 200%"), ["label.hold_out double.gte_lte"]);
  const undecided = FLIGHTS.replace("wait: 36h", "wait: 36h\n  hold_out: 2%").replace(/decisions:\n( {4}- .*\n)+/, "");
  assert.throws(() => parseApp(undecided), /label\.hold_out: without serving\.decisions/);
});
