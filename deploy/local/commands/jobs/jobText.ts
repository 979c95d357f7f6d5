import { timestampMs } from "@bufbuild/protobuf/wkt";
import { JobState, type JobStatus } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { alignedTable, wrapText } from "../../alignedTable.ts";
import { moment, percent, span } from "../dataset/wording.ts";

const STATES: Readonly<Record<JobState, string>> = {
  [JobState.UNSPECIFIED]: "?",
  [JobState.WAITING]: "waiting",
  [JobState.RUNNING]: "running",
  [JobState.FINISHED]: "finished",
  [JobState.FAILED]: "failed",
  [JobState.CANCELLED]: "cancelled",
};

export const jobStateOf = ({ state }: Pick<JobStatus, "state">): string => STATES[state] ?? "?";

/** One line for each job, for people. */
export function describeJobs(jobs: readonly JobStatus[], nowMs: number): string[] {
  if (jobs.length === 0) return ["There are no jobs; ask for one with: npm run millrace -- jobs start --app <app>"];
  const columns = ["job", "app", "asked for by", "state", "started", "for", "what"].map((title) => ({ title }));
  const rows = jobs.map((status) => [
    status.job?.id ?? "",
    status.job?.app ?? "",
    status.job?.trigger ?? "",
    jobStateOf(status),
    moment(status.startedAt),
    lengthOf(status, nowMs),
    wrapText(whatOf(status), 90).split("\n")[0] ?? "",
  ]);
  return alignedTable(columns, rows);
}

function lengthOf({ startedAt, finishedAt }: JobStatus, nowMs: number): string {
  if (startedAt === undefined) return "-";
  return span(((finishedAt === undefined ? nowMs : timestampMs(finishedAt)) - timestampMs(startedAt)) / 1_000);
}

function whatOf({ state, stage, share, cancelling, outcome, job }: JobStatus): string {
  if (state === JobState.WAITING) return job?.reason ?? "";
  if (state !== JobState.RUNNING) return outcome;
  if (cancelling !== "") return `is being stopped (${cancelling})`;
  return share === undefined ? stage : `${stage}, ${percent(share, 1)}`;
}
