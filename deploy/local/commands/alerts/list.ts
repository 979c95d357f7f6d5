import { toJsonString } from "@bufbuild/protobuf";
import { AlertState } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { GetStatusResponseSchema } from "@millrace/proto/millrace/monitor/v1/monitor_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { alertTable } from "./alertText.ts";
import { connectMonitor } from "./monitorClient.ts";

/** Lists an app's alerts. */
export const alertsList: Command = {
  name: "alerts list",
  usage: "--app <app> [--open] [--json]",
  what: "an app's alerts, newest first, and what is muted",
  details: `  --app <app>   whose alerts
  --open        only those that are not resolved
  --json        for programs: the whole alerts, and the newest windows`,
  async run(commandArguments) {
    const options = { app: { type: "string" }, open: { type: "boolean" }, json: { type: "boolean" } } as const;
    const { values } = readOptions({ args: [...commandArguments], options });
    const { app, open = false, json = false } = values;
    if (app === undefined)
      throw new MillraceError("invalid_argument", "alerts list needs --app; npm run millrace -- apps lists them");
    using monitor = connectMonitor();
    const status = await monitor.getStatus({ app });
    const alerts = status.alerts.filter(({ state }) => !open || state !== AlertState.RESOLVED);
    if (json) console.log(toJsonString(GetStatusResponseSchema, { ...status, alerts }, { prettySpaces: 2 }));
    else if (alerts.length === 0 && status.mutes.length === 0)
      console.log(`${app} has no ${open ? "open " : ""}alert.`);
    else console.log(alertTable(alerts, status.mutes).join("\n"));
    return 0;
  },
};
