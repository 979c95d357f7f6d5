import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { DecisionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { compileDecisions } from "./decision.ts";

const decisions = (...thresholds: [string, number][]) =>
  compileDecisions(thresholds.map(([name, atLeast]) => create(DecisionSchema, { name, atLeast })));

test("the highest threshold that the probability reaches decides, whatever the order in the file", () => {
  const decide = decisions(["ok", 0], ["late", 0.5], ["at-risk", 0.25]);
  assert.deepEqual([0, 0.2499, 0.25, 0.4999, 0.5, 1].map(decide), ["ok", "ok", "at-risk", "at-risk", "late", "late"]);
});

test("below every threshold, or without any, there is no decision", () => {
  assert.equal(decisions(["late", 0.5])(0.4), "");
  assert.equal(decisions()(0.4), "");
});
