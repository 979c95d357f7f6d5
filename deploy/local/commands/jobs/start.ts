import { userInfo } from "node:os";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { readMoment } from "../dataset/datasetOptions.ts";
import { connectRegistry } from "../models/registryClient.ts";

/** Asks for a training. */
export const jobsStart: Command = {
  name: "jobs start",
  usage: "--app <app> [--reason <text>] [--as-of <time>]",
  what: "train the app's candidates now",
  details: `  --app <app>       for which to train
  --reason <text>   why; default: you asked for it
  --as-of <time>    nothing known later takes part, such as 2001-02-03T04:05:06Z; default: all there is`,
  async run(commandArguments) {
    const text = { type: "string" } as const;
    const { values } = readOptions({
      args: [...commandArguments],
      options: { app: text, reason: text, "as-of": text },
    });
    const { app, reason = `${userInfo().username} asked for it` } = values;
    if (app === undefined) {
      throw new MillraceError("invalid_argument", "jobs start needs --app; npm run millrace -- apps lists them");
    }
    const moment = readMoment("as-of", values["as-of"]);
    using registry = connectRegistry();
    const asOf = moment === undefined ? {} : { asOf: timestampFromDate(moment) };
    const { jobId } = await registry.requestTraining({ app, reason, ...asOf });
    console.log(`${jobId} is asked for; npm run millrace -- jobs list tells how far it is`);
    return 0;
  },
};
