import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ServingSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { compileDecisions } from "./decision.ts";

const compile = (init: Parameters<typeof create<typeof ServingSchema>>[1]) =>
  compileDecisions(create(ServingSchema, init));
const thresholds = (...decisions: [string, number][]) =>
  compile({ decisions: decisions.map(([name, atLeast]) => ({ name, atLeast })) });

test("the highest threshold that the probability reaches decides, whatever the order in the file", () => {
  const decide = thresholds(["ok", 0], ["late", 0.5], ["at-risk", 0.25]);
  const decisions = [0, 0.2499, 0.25, 0.4999, 0.5, 1].map((probability) => decide(probability).decision);
  assert.deepEqual(decisions, ["ok", "ok", "at-risk", "at-risk", "late", "late"]);
});

test("below every threshold, or without any, there is no decision", () => {
  assert.deepEqual(thresholds(["late", 0.5])(0.4), { decision: "", band: undefined });
  assert.deepEqual(thresholds()(0.4), { decision: "", band: undefined });
});

test("a decision comes with the probabilities that are decided alike, and says when it abstains", () => {
  const decide = compile({
    decisions: [
      { name: "late", atLeast: 0.5 },
      { name: "ok", atLeast: 0 },
    ],
    abstain: { from: 0.4, to: 0.6, decision: "ask" },
  });
  const told = [0.39, 0.4, 0.59, 0.6].map((probability) => {
    const { decision, band } = decide(probability);
    return [decision, band?.lower, band?.upper, band?.abstain];
  });
  assert.deepEqual(told, [
    ["ok", 0, 0.4, false],
    ["ask", 0.4, 0.6, true],
    ["ask", 0.4, 0.6, true],
    ["late", 0.6, 1, false],
  ]);
});
