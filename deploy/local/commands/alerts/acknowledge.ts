import { userInfo } from "node:os";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectMonitor, readAlertId } from "./monitorClient.ts";

/** Takes an alert on. */
export const alertsAck: Command = {
  name: "alerts ack",
  usage: "<id> [--by <who>] [--note <text>]",
  what: "take an alert on: its updates are told to nobody any more, its end is",
  details: `  <id>     npm run millrace -- alerts list --app <app> lists them
  --by     who takes it on; default: the name of the user of this machine
  --note   what others should know`,
  async run(commandArguments) {
    const options = { by: { type: "string" }, note: { type: "string" } } as const;
    const { values, positionals } = readOptions({ args: [...commandArguments], options, allowPositionals: true });
    const id = readAlertId("alerts ack", positionals);
    const { by = userInfo().username, note = "" } = values;
    using monitor = connectMonitor();
    await monitor.acknowledgeAlert({ id, by, note });
    console.log(`${by} takes on ${id}.`);
    return 0;
  },
};
