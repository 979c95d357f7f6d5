import { toJsonString } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type DatasetManifest, DatasetManifestSchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectDatasets } from "./datasetClient.ts";
import { readMoment } from "./datasetOptions.ts";
import { ProgressLine } from "./progressLine.ts";
import { percent, shortHash, size, whole } from "./wording.ts";

/** Builds a dataset from an app's history. */
export const datasetBuild: Command = {
  name: "dataset build",
  usage: "--app <app> [--from <time>] [--to <time>] [--known-before <time>] [--json]",
  what: "build a dataset from an app's history",
  details: `  --app <app>            the app whose features and label it has
  --from, --to <time>    rows are the prediction events from --from on and before --to (2001-02-03, or 2001-02-03T04:05:06Z);
                         default: all there are
  --known-before <time>  features and labels count what was known before this, as if it were that moment; default: --to
  --json                 the whole manifest, for programs

The same history, app and times give the same dataset, and it is stored once.`,
  async run(commandArguments) {
    const text = { type: "string" } as const;
    const options = { app: text, from: text, to: text, "known-before": text, json: { type: "boolean" } } as const;
    const { values } = readOptions({ args: [...commandArguments], options });
    const { app, json = false } = values;
    if (app === undefined) {
      throw new MillraceError("invalid_argument", "dataset build needs --app; npm run millrace -- apps lists them");
    }
    const from = readMoment("from", values.from);
    const to = readMoment("to", values.to);
    const knownBefore = readMoment("known-before", values["known-before"]);
    const manifest = await build({
      app,
      ...(from === undefined ? {} : { from: timestampFromDate(from) }),
      ...(to === undefined ? {} : { to: timestampFromDate(to) }),
      ...(knownBefore === undefined ? {} : { knownBefore: timestampFromDate(knownBefore) }),
    });
    console.log(json ? toJsonString(DatasetManifestSchema, manifest, { prettySpaces: 2 }) : describe(manifest));
    return 0;
  },
};

type Request = Parameters<ReturnType<typeof connectDatasets>["buildDataset"]>[0];

async function build(request: Request): Promise<DatasetManifest> {
  using datasets = connectDatasets();
  using progress = new ProgressLine();
  let manifest: DatasetManifest | undefined;
  for await (const { step } of datasets.buildDataset(request)) {
    if (step.case === "manifest") manifest = step.value;
    if (step.case === "progress") {
      progress.show(`${whole(step.value.eventsRead)} events read, ${whole(step.value.rowsWritten)} rows written`);
    }
  }
  if (manifest === undefined) throw new MillraceError("internal", "The feature service ended without a manifest");
  return manifest;
}

function describe({ contentHash, rows, labelledRows, labels, features, files, eventsRead }: DatasetManifest): string {
  const name = shortHash(contentHash);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0n);
  const positive = labels?.positiveRows ?? 0n;
  return [
    `Dataset ${name}: ${whole(rows)} rows from ${whole(eventsRead)} events, ${features.length} features, ${size(bytes)}`,
    `${percent(labelledRows, rows)} of the rows are labelled, ${percent(positive, labelledRows)} of the labels are positive`,
    "",
    `npm run millrace -- dataset report ${name}      is it honest enough to train on?`,
    `npm run millrace -- dataset describe ${name}    what is in it`,
  ].join("\n");
}
