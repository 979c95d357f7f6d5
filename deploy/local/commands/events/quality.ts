import { toJsonString } from "@bufbuild/protobuf";
import {
  DataQualityService,
  ListDataQualityResponseSchema,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectIngestion } from "./connectIngestion.ts";
import { qualityText } from "./qualityText.ts";
import { readMoment } from "./timeOption.ts";

/** Shows what the fields of an app's events looked like, and what looks odd. */
export const quality: Command = {
  name: "events quality",
  usage: "--app <app> [--type <event type>] [--field <field>] [--hours <n>] [--until <time>] [--json]",
  what: "what the fields of an app's events look like: missing, broken rules, range, mean, different values",
  details: `  --app <app>           whose events
  --type <event type>   only this one; default: all
  --field <field>       only this one; default: all
  --hours <n>           so many hours of event time, up to 744; default: 24
  --until <time>        the hours before this time, such as 2001-02-03T04:00:00Z; default: the newest
  --json                for programs, with the fields of every hour`,
  async run(commandArguments) {
    const { values } = readOptions({
      args: [...commandArguments],
      options: {
        app: { type: "string" },
        type: { type: "string" },
        field: { type: "string" },
        hours: { type: "string" },
        until: { type: "string" },
        json: { type: "boolean" },
      },
    });
    const { app = "", type = "", field = "", json = false } = values;
    if (app === "") {
      throw new MillraceError(
        "invalid_argument",
        "events quality needs --app <app>; npm run millrace -- apps lists them",
      );
    }
    const until = values.until === undefined ? {} : { to: readMoment("until", values.until) };
    const request = { app, type, field, fieldsByHour: json, hours: readHours(values.hours), ...until };
    using service = connectIngestion(DataQualityService);
    const response = await service.listDataQuality(request, { timeoutMs: 60_000 });
    const text = json
      ? toJsonString(ListDataQualityResponseSchema, response, { prettySpaces: 2, alwaysEmitImplicit: true })
      : qualityText(app, response);
    console.log(text);
    return 0;
  },
};

/** 0 leaves it to the service. */
function readHours(text: string | undefined): number {
  if (text === undefined) return 0;
  const hours = Number(text);
  if (Number.isInteger(hours) && hours >= 1 && hours <= 744) return hours;
  throw new MillraceError("invalid_argument", `--hours must be a whole number from 1 to 744, not "${text}"`);
}
