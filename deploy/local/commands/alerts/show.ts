import { toJsonString } from "@bufbuild/protobuf";
import { AlertSchema } from "@millrace/proto/millrace/monitor/v1/alert_pb.ts";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { describeAlert } from "./alertText.ts";
import { connectMonitor, readAlertId } from "./monitorClient.ts";

/** Shows one alert. */
export const alertsShow: Command = {
  name: "alerts show",
  usage: "<id> [--json]",
  what: "an alert: what changed, the likely cause, what to do, its inputs before and after",
  details: `  <id>     npm run millrace -- alerts list --app <app> lists them
  --json   the whole alert, for programs`,
  async run(commandArguments) {
    const options = { json: { type: "boolean" } } as const;
    const { values, positionals } = readOptions({ args: [...commandArguments], options, allowPositionals: true });
    const id = readAlertId("alerts show", positionals);
    using monitor = connectMonitor();
    const { alert } = await monitor.getAlert({ id });
    if (alert === undefined) return 1;
    console.log(
      values.json === true ? toJsonString(AlertSchema, alert, { prettySpaces: 2 }) : describeAlert(alert).join("\n"),
    );
    return 0;
  },
};
