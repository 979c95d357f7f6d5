import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { AppSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { ValueSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { MadeBy } from "@millrace/proto/millrace/prediction/v1/prediction_pb.ts";
import { compileHoldOut } from "./holdOut.ts";
import { type Made, makePrediction } from "./prediction.ts";

const text = (value: string) => create(ValueSchema, { kind: { case: "stringValue", value } });
const app = (holdOut: number, canaryBy = "") =>
  create(AppSchema, { app: "loans", label: { join: "loan", holdOut }, serving: { canaryBy } });
const loans = Array.from({ length: 2_000 }, (_, index) => ({ loan: text(`loan ${index}`), customer: text("Ada") }));

test("the share is held out, always the same entities, and a larger share only adds to them", () => {
  const chosen = (share: number) => loans.filter((fields) => compileHoldOut(app(share))?.(fields) === share);
  const tenth = chosen(0.1);
  assert.ok(tenth.length > 150 && tenth.length < 250, `${tenth.length} of 2,000`);
  assert.deepEqual(chosen(0.1), tenth);
  assert.ok(new Set(chosen(0.3)).isSupersetOf(new Set(tenth)));
  assert.equal(compileHoldOut(app(0)), undefined);
});

test("all questions about one entity meet the same fate", () => {
  const heldOut = compileHoldOut(app(0.5, "customer"));
  assert.equal(new Set(loans.map((fields) => heldOut?.(fields))).size, 1);
});

test("an answer that is held out says so beside its decision, one that is not says nothing", () => {
  const made = (share: number): Made => ({
    app: {
      name: "loans",
      version: 1,
      joinField: "loan",
      decide: () => ({ decision: "refuse", band: undefined }),
      heldOut: compileHoldOut(app(share)),
    } as unknown as Made["app"],
    row: { requestId: "r1", fields: { loan: text("loan 1") } },
    occurredAt: { seconds: 0n, nanos: 0 } as Made["occurredAt"],
    read: { exact: true } as unknown as Made["read"],
    answer: {
      answer: 0.9,
      modelVersion: "loans/1",
      madeBy: MadeBy.CHAMPION,
      reason: "",
      features: [],
      cached: false,
    } as unknown as Made["answer"],
    durationMs: 1,
  });
  const { decision, heldOut } = makePrediction(made(1));
  assert.deepEqual([decision, heldOut], ["refuse", 1]);
  assert.equal(makePrediction(made(0)).heldOut, undefined);
});
