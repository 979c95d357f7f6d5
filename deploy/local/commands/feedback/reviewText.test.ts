import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ReviewReason, ReviewSchema } from "@millrace/proto/millrace/feedback/v1/review_pb.ts";
import { reviewTable } from "./reviewText.ts";

test("each review is a line: which prediction, about what, why, until when, and who has it in hand", () => {
  const about = {
    predictedAt: timestampFromMs(Date.UTC(2001, 0, 9, 6)),
    expiresAt: timestampFromMs(Date.UTC(2001, 0, 10)),
  };
  const lines = reviewTable([
    create(ReviewSchema, {
      ...about,
      predictionId: "p1",
      joinKey: "f1",
      reason: ReviewReason.DISPUTED,
      probability: 0.9,
    }),
    create(ReviewSchema, {
      ...about,
      predictionId: "p2",
      joinKey: "f2",
      reason: ReviewReason.UNCERTAIN,
      probability: 0.5,
      decision: "at-risk",
      leasedBy: "Ada",
    }),
  ]);
  assert.deepEqual(lines, [
    "prediction  about  why        probability  decision  made at           until             in hand",
    "p1          f1     disputed         0.900            2001-01-09 06:00  2001-01-10 00:00",
    "p2          f2     uncertain        0.500  at-risk   2001-01-09 06:00  2001-01-10 00:00  Ada",
  ]);
});
