import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { RetrainingDecisionSchema } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { decisionTable } from "./decisionText.ts";

test("each decision is a line with its time, what it was, who asked and why; a training's job is named", () => {
  const at = (hour: number) => timestampFromMs(Date.UTC(2001, 0, 9, hour));
  const lines = decisionTable([
    create(RetrainingDecisionSchema, {
      decidedAt: at(7),
      retrain: true,
      trigger: "drift",
      reason: "It moved.",
      jobId: "a-1",
    }),
    create(RetrainingDecisionSchema, { decidedAt: at(6), retrain: false, trigger: "", reason: "No alert is open." }),
  ]);
  assert.deepEqual(lines, [
    "event time        decision  asked by  reason",
    "2001-01-09 07:00  train     drift     It moved. (a-1)",
    "2001-01-09 06:00  not now   nothing   No alert is open.",
  ]);
});
