import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { type Review, ReviewReason } from "@millrace/proto/millrace/feedback/v1/review_pb.ts";
import { alignedTable } from "../../alignedTable.ts";

/** Reviews as lines of a table, in their order. */
export function reviewTable(reviews: readonly Review[]): string[] {
  const columns = [
    { title: "prediction" },
    { title: "about" },
    { title: "why" },
    { title: "probability", align: "right" as const },
    { title: "decision" },
    { title: "made at" },
    { title: "until" },
    { title: "in hand" },
  ];
  const rows = reviews.map((review) => [
    review.predictionId,
    review.joinKey,
    review.reason === ReviewReason.DISPUTED ? "disputed" : "uncertain",
    review.probability.toFixed(3),
    review.decision,
    time(review.predictedAt),
    time(review.expiresAt),
    review.leasedBy,
  ]);
  return alignedTable(columns, rows);
}

const time = (timestamp: Timestamp | undefined): string =>
  timestamp === undefined ? "" : timestampDate(timestamp).toISOString().slice(0, 16).replace("T", " ");
