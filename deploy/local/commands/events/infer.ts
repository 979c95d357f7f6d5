import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type InferSchemaRequestSchema,
  SchemaInferenceService,
} from "@millrace/proto/millrace/ingestion/v1/schema_inference_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions, say } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { ProgressLine } from "../dataset/progressLine.ts";
import { whole } from "../dataset/wording.ts";
import { connectIngestion } from "./connectIngestion.ts";
import { readEventFile } from "./eventFile.ts";

const LARGEST_LIMIT = 100_000;
const DEFAULT_LIMIT = 10_000;

const TEXT = { type: "string" } as const;
const OPTIONS = { app: TEXT, file: TEXT, type: TEXT, limit: TEXT, "time-field": TEXT } as const;

type Values = { readonly [Name in keyof typeof OPTIONS]?: string | undefined };
type Source = NonNullable<MessageInitShape<typeof InferSchemaRequestSchema>["source"]>;

/** Proposes the schema section of an app file. */
export const infer: Command = {
  name: "events infer",
  usage: "(--app <app> | --file <file>) [--type <event type>] [--time-field <field>] [--limit <n>]",
  what: "proposes the events: section of an app file from a sample of events, in YAML",
  details: `  --app <app>            from the newest events on events.<app>.>, accepted or rejected; the app need not be applied
  --file <file>          from a file: CloudEvents or plain objects of fields, one a line (NDJSON) or in a JSON array
  --type <event type>    with --app: only events of this type; with --file: the type of plain objects
  --time-field <field>   with --file: the member of plain objects that is the event's time, and so no field
  --limit <n>            so many events, up to ${LARGEST_LIMIT}; default ${DEFAULT_LIMIT}

The proposal goes to standard output, with what speaks for each line as a comment:
  npm run -s millrace -- events infer --app shop > events.yaml
Put it into the app file, edit it, apply the file, and take in what was rejected until then:
  npm run millrace -- events replay --app shop`,
  async run(commandArguments) {
    const { values } = readOptions({ args: [...commandArguments], options: OPTIONS });
    const limit = readLimit(values.limit);
    const source =
      values.file === undefined ? streamSource(values, limit) : await fileSource(values.file, values, limit);
    using service = connectIngestion(SchemaInferenceService);
    using line = new ProgressLine();
    let proposed = "";
    for await (const { messages, events, yaml } of service.inferSchema({ source }, { timeoutMs: 120_000 })) {
      line.show(`${whole(messages)} messages looked at, ${whole(events)} events used`);
      proposed = yaml;
    }
    line[Symbol.dispose]();
    if (proposed === "") throw new MillraceError("internal", "ingestion answered without a proposal");
    process.stdout.write(proposed);
    return 0;
  },
};

function streamSource({ app = "", type = "", "time-field": timeField }: Values, maxEvents: number): Source {
  if (app === "") {
    throw new MillraceError("invalid_argument", "events infer needs --app <app>, or --file <file> with events");
  }
  if (timeField !== undefined) {
    throw new MillraceError("invalid_argument", "--time-field goes with --file: events of the stream say their time");
  }
  return { case: "stream", value: { app, type, maxEvents } };
}

async function fileSource(
  file: string,
  { app, type = "", "time-field": timeField = "" }: Values,
  limit: number,
): Promise<Source> {
  if (app !== undefined) {
    throw new MillraceError("invalid_argument", "events infer takes either --app or --file, not both");
  }
  const { json, cutBy } = await readEventFile(file, limit);
  if (cutBy !== undefined) say(`only the first ${whole(json.length)} events of ${file} are used: ${cutBy}`);
  return { case: "events", value: { json: [...json], type, timeField } };
}

function readLimit(given: string | undefined): number {
  const limit = given === undefined ? DEFAULT_LIMIT : Number(given);
  if (Number.isInteger(limit) && limit >= 1 && limit <= LARGEST_LIMIT) return limit;
  throw new MillraceError(
    "invalid_argument",
    `--limit must be a whole number from 1 to ${LARGEST_LIMIT}, not "${given}"`,
  );
}
