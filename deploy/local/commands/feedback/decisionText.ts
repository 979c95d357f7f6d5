import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { RetrainingDecision } from "@millrace/proto/millrace/feedback/v1/feedback_service_pb.ts";
import { alignedTable } from "../../alignedTable.ts";

/** Decisions as lines of a table, in their order. */
export function decisionTable(decisions: readonly RetrainingDecision[]): string[] {
  const columns = [{ title: "event time" }, { title: "decision" }, { title: "asked by" }, { title: "reason" }];
  const rows = decisions.map(({ decidedAt, retrain, trigger, reason, jobId }) => [
    decidedAt === undefined ? "" : timestampDate(decidedAt).toISOString().slice(0, 16).replace("T", " "),
    retrain ? "train" : "not now",
    trigger || "nothing",
    jobId === "" ? reason : `${reason} (${jobId})`,
  ]);
  return alignedTable(columns, rows);
}
