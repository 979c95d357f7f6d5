import { toJson } from "@bufbuild/protobuf";
import { type DatasetSummary, DatasetSummarySchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { alignedTable } from "../../alignedTable.ts";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectDatasets } from "./datasetClient.ts";
import { moment, percent, shortHash, size, whole } from "./wording.ts";

const DEFAULT_LIMIT = 20;
const LARGEST_PAGE = 200;

/** Lists the stored datasets. */
export const datasetList: Command = {
  name: "dataset list",
  usage: "[--app <app>] [--limit <number>] [--json]",
  what: "the stored datasets, newest first",
  details: `  --app <app>        only those of this app
  --limit <number>   how many, default ${DEFAULT_LIMIT}
  --json             for programs`,
  async run(commandArguments) {
    const text = { type: "string" } as const;
    const options = { app: text, limit: text, json: { type: "boolean" } } as const;
    const { values } = readOptions({ args: [...commandArguments], options });
    const limit = readLimit(values.limit);
    const { found, more } = await list(values.app ?? "", limit);
    if (values.json === true) {
      console.log(
        JSON.stringify(
          found.map((dataset) => toJson(DatasetSummarySchema, dataset)),
          undefined,
          2,
        ),
      );
      return 0;
    }
    if (found.length === 0) {
      console.log("No dataset is stored; build one with: npm run millrace -- dataset build --app <app>");
      return 0;
    }
    console.log(tableOf(found).join("\n"));
    if (more) console.log(`There are more: --limit ${limit * 2}`);
    return 0;
  },
};

function readLimit(text: string | undefined): number {
  const limit = text === undefined ? DEFAULT_LIMIT : Number(text);
  if (Number.isInteger(limit) && limit >= 1) return limit;
  throw new MillraceError("invalid_argument", `--limit must be a whole number from 1 on, not "${text}"`);
}

async function list(app: string, limit: number): Promise<{ found: DatasetSummary[]; more: boolean }> {
  using client = connectDatasets();
  const found: DatasetSummary[] = [];
  let pageToken = "";
  do {
    const pageSize = Math.min(LARGEST_PAGE, limit - found.length);
    const page = await client.listDatasets({ app, pageSize, pageToken });
    found.push(...page.datasets);
    pageToken = page.nextPageToken;
  } while (pageToken !== "" && found.length < limit);
  return { found, more: pageToken !== "" };
}

const right = (title: string) => ({ title, align: "right" }) as const;

const tableOf = (datasets: readonly DatasetSummary[]): string[] =>
  alignedTable(
    [
      { title: "dataset" },
      { title: "app" },
      right("version"),
      { title: "stored at" },
      { title: "first row" },
      { title: "last row" },
      right("rows"),
      right("labelled"),
      right("positive"),
      right("features"),
      right("size"),
    ],
    datasets.map((dataset) => [
      shortHash(dataset.contentHash),
      dataset.app,
      whole(dataset.appVersion),
      moment(dataset.storedAt),
      moment(dataset.firstRowAt),
      moment(dataset.lastRowAt),
      whole(dataset.rows),
      percent(dataset.labelledRows, dataset.rows),
      percent(dataset.positiveRows, dataset.labelledRows),
      whole(dataset.features),
      size(dataset.bytes),
    ]),
  );
