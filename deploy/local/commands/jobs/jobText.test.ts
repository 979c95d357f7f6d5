import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { JobState, JobStatusSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { describeJobs } from "./jobText.ts";

const AT = timestampFromMs(Date.UTC(2001, 1, 3, 4, 5));
const NOW_MS = Date.UTC(2001, 1, 3, 4, 15);
const job = { id: "job-1", app: "flights", trigger: "schedule", reason: "a week has passed" };

test("jobs are listed with how far they are, or what came of them", () => {
  const jobs = [
    create(JobStatusSchema, { job, state: JobState.RUNNING, startedAt: AT, stage: "training gbdt", share: 0.25 }),
    create(JobStatusSchema, { job: { ...job, id: "job-2" }, state: JobState.WAITING }),
    create(JobStatusSchema, { job, state: JobState.FAILED, startedAt: AT, finishedAt: AT, outcome: "No rows." }),
    create(JobStatusSchema, { job, state: JobState.RUNNING, startedAt: AT, cancelling: "Ada: wrong" }),
  ];
  const [, running, waiting, failed, stopping] = describeJobs(jobs, NOW_MS);
  assert.match(running ?? "", /^job-1 +flights +schedule +running +2001-02-03 04:05 +10 min +training gbdt, 25\.0 %$/);
  assert.match(waiting ?? "", /^job-2 .* waiting +- +- +a week has passed$/);
  assert.match(failed ?? "", /failed +2001-02-03 04:05 +0 s +No rows\.$/);
  assert.match(stopping ?? "", /is being stopped \(Ada: wrong\)$/);
  assert.match(describeJobs([], NOW_MS)[0] ?? "", /no jobs; ask for one/);
});
