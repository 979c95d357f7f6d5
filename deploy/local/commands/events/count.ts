import { toJsonString } from "@bufbuild/protobuf";
import { CountEventsResponseSchema, EventLogService } from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectIngestion } from "./connectIngestion.ts";
import { countText } from "./countText.ts";

/** Counts what has become of an app's events. */
export const count: Command = {
  name: "events count",
  usage: "--app <app> [--json]",
  what: "what has become of an app's events: accepted, late, rejected, duplicates, noise",
  details: `  --app <app>   whose events
  --json        for programs

Of all events so far, each counted once:
  accepted      by type; late ones, behind the app's clock by more than ingestion.lateness, are among them
  rejected      by the first reason; what a replay has taken in since is accepted, and not rejected
  duplicates    of accepted events, by id
  noise         by rule of the app file: dropped, or kept as the rule's share, and then accepted`,
  async run(commandArguments) {
    const { values } = readOptions({
      args: [...commandArguments],
      options: { app: { type: "string" }, json: { type: "boolean" } },
    });
    const { app = "", json = false } = values;
    if (app === "") {
      throw new MillraceError(
        "invalid_argument",
        "events count needs --app <app>; npm run millrace -- apps lists them",
      );
    }
    using log = connectIngestion(EventLogService);
    const counts = await log.countEvents({ app }, { timeoutMs: 60_000 });
    console.log(
      json
        ? toJsonString(CountEventsResponseSchema, counts, { prettySpaces: 2, alwaysEmitImplicit: true })
        : countText(app, counts),
    );
    return 0;
  },
};
