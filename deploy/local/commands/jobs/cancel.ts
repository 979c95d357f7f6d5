import { JobState } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import type { Command } from "../command.ts";
import { readPositionals } from "../dataset/datasetOptions.ts";
import { connectRegistry } from "../models/registryClient.ts";
import { readReason } from "../models/wish.ts";
import { jobStateOf } from "./jobText.ts";

/** Stops a job. */
export const jobsCancel: Command = {
  name: "jobs cancel",
  usage: "<job> --reason <text>",
  what: "stop a training job, or keep one that waits from beginning",
  details: `  <job>             its id; npm run millrace -- jobs list lists them
  --reason <text>   why; kept as the job's outcome
  --author <name>   who says so; default: you

A job that has ended stays as it is. One that runs stops within seconds.`,
  async run(commandArguments) {
    const { positionals, reason, author } = readReason("jobs cancel", commandArguments);
    const [jobId = ""] = readPositionals("jobs cancel", ["job"], positionals);
    using registry = connectRegistry();
    const { job } = await registry.cancelJob({ jobId, reason, author });
    if (job === undefined) return 1;
    console.log(
      job.state === JobState.RUNNING ? `${jobId} is being stopped` : `${jobId} is ${jobStateOf(job)}: ${job.outcome}`,
    );
    return 0;
  },
};
