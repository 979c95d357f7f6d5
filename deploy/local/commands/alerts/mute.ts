import { userInfo } from "node:os";
import { durationFromMs, timestampDate } from "@bufbuild/protobuf/wkt";
import { parseDurationMs } from "@millrace/app";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectMonitor } from "./monitorClient.ts";

/** Mutes alerts for some time, or ends a mute. */
export const alertsMute: Command = {
  name: "alerts mute",
  usage:
    "--app <app> --for <duration> [--monitor <name>] [--subject <input>] [--reason <text>] [--by <who>] | --end <id>",
  what: "for some time, hear nothing of some alerts; they are kept and shown all the same",
  details: `  --app       whose alerts
  --for       how long, such as 2d or 6h, by the app's own clock
  --monitor   drift, data_quality, performance, fallback or rollback; default: all
  --subject   only what is about this input; default: all
  --reason    why
  --by        who; default: the name of the user of this machine
  --end       ends the mute of this id, which alerts list shows`,
  async run(commandArguments) {
    const text = { type: "string" } as const;
    const options = { app: text, for: text, monitor: text, subject: text, reason: text, by: text, end: text };
    const { values } = readOptions({ args: [...commandArguments], options });
    using service = connectMonitor();
    if (values.end !== undefined) {
      await service.endMute({ id: values.end });
      console.log(`${values.end} is over.`);
      return 0;
    }
    const { app, monitor = "", subject = "", reason = "", by = userInfo().username } = values;
    const durationMs = parseDurationMs(values.for ?? "");
    if (app === undefined || durationMs === undefined) {
      throw new MillraceError(
        "invalid_argument",
        `alerts mute needs --app <app> and --for <duration>, such as 2d; got --for ${JSON.stringify(values.for ?? "")}`,
      );
    }
    const duration = durationFromMs(durationMs);
    const { mute } = await service.muteAlerts({ app, monitor, subject, duration, reason, by });
    const until = mute?.until === undefined ? "" : timestampDate(mute.until).toISOString();
    console.log(`${mute?.id}: muted until ${until}; end it with: npm run millrace -- alerts mute --end ${mute?.id}`);
    return 0;
  },
};
