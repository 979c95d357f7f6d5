import { toJson } from "@bufbuild/protobuf";
import { JobStatusSchema } from "@millrace/proto/millrace/training/v1/job_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectRegistry } from "../models/registryClient.ts";
import { describeJobs } from "./jobText.ts";

/** Lists training jobs. */
export const jobsList: Command = {
  name: "jobs list",
  usage: "[--app <app>] [--limit <number>] [--json]",
  what: "training jobs: what waits, what runs and how far it is, what came of the others",
  details: `  --app <app>        of one app
  --limit <number>   at most so many of those that ended, 1 to 200; default 20
  --json             for programs`,
  async run(commandArguments) {
    const options = { app: { type: "string" }, limit: { type: "string" }, json: { type: "boolean" } } as const;
    const { values } = readOptions({ args: [...commandArguments], options });
    const { app = "", limit: text, json = false } = values;
    const limit = Number(text ?? 20);
    if (!Number.isInteger(limit) || limit < 1 || limit > 200) {
      throw new MillraceError("invalid_argument", `--limit must be a whole number from 1 to 200, not "${text}"`);
    }
    using registry = connectRegistry();
    const { jobs } = await registry.listJobs({ app, limit });
    const all = () =>
      JSON.stringify(
        jobs.map((job) => toJson(JobStatusSchema, job)),
        undefined,
        2,
      );
    console.log(json ? all() : describeJobs(jobs, Date.now()).join("\n"));
    return 0;
  },
};
