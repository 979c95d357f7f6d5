import { toJsonString } from "@bufbuild/protobuf";
import {
  type ColumnStatistics,
  type DatasetManifest,
  DatasetManifestSchema,
  type DescribeDatasetResponse,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { alignedTable } from "../../alignedTable.ts";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectDatasets } from "./datasetClient.ts";
import { readPositionals } from "./datasetOptions.ts";
import { decimal, moment, percent, shortHash, size, whole } from "./wording.ts";

/** Shows a dataset's manifest. */
export const datasetDescribe: Command = {
  name: "dataset describe",
  usage: "<dataset> [--json]",
  what: "what is in a dataset: range, rows, labels, definitions, columns, files",
  details: `  <dataset>   its content hash, or the beginning of it
  --json      the whole manifest, for programs`,
  async run(commandArguments) {
    const { values, positionals } = readOptions({
      args: [...commandArguments],
      options: { json: { type: "boolean" } },
      allowPositionals: true,
    });
    const [dataset = ""] = readPositionals("dataset describe", ["dataset"], positionals);
    using client = connectDatasets();
    const answer = await client.describeDataset({ dataset });
    const { manifest } = answer;
    if (manifest === undefined) return 1;
    if (values.json === true) console.log(toJsonString(DatasetManifestSchema, manifest, { prettySpaces: 2 }));
    else
      console.log(
        [
          ...summary(manifest, answer),
          "",
          ...definitions(manifest),
          "",
          ...columnsOf(manifest),
          "",
          ...files(manifest),
        ].join("\n"),
      );
    return 0;
  },
};

function summary(manifest: DatasetManifest, { storedAt }: DescribeDatasetResponse): string[] {
  const { rows, labelledRows, labels, split } = manifest;
  const positive = percent(labels?.positiveRows ?? 0n, labelledRows);
  const waiting = `${whole(labels?.pendingRows ?? 0n)} may still get one, ${whole(labels?.neverLabelledRows ?? 0n)} never did`;
  const lines: [string, string][] = [
    ["dataset", manifest.contentHash],
    ["app", `${manifest.app}, version ${manifest.appVersion}`],
    ["stored", `${moment(storedAt)} by ${manifest.createdBy}`],
    [
      "asked for",
      `from ${moment(manifest.from)} to ${moment(manifest.to)}, known before ${moment(manifest.knownBefore)}`,
    ],
    [
      "rows",
      `${whole(rows)}, one for each ${manifest.predictionAt}, ${moment(manifest.firstRowAt)} to ${moment(manifest.lastRowAt)}`,
    ],
    ["labelled", `${whole(labelledRows)} (${percent(labelledRows, rows)}), ${positive} positive; ${waiting}`],
    ["events", `${whole(manifest.eventsRead)} read, the last known at ${moment(manifest.logEnd)}`],
  ];
  if (split !== undefined) {
    const train = `${whole(split.trainRows)} labelled rows before (${percent(split.trainPositive, split.trainRows)} positive)`;
    const held = `${whole(split.holdoutRows)} after (${percent(split.holdoutPositive, split.holdoutRows)} positive)`;
    lines.push(["holdout", `from ${moment(split.holdoutFrom)}: ${train}, ${held}`]);
  }
  return lines.map(([name, text]) => `${name.padEnd(10)} ${text}`);
}

const definitions = ({ features, label }: DatasetManifest): string[] =>
  alignedTable(
    [{ title: "feature" }, { title: "definition" }, { title: "hash" }],
    [
      ...features.map(({ name, text, hash }) => [name, text, shortHash(hash)]),
      ...(label === undefined ? [] : [["label", label.text, shortHash(label.hash)]]),
    ],
  );

const right = (title: string) => ({ title, align: "right" }) as const;

function columnsOf({ columns, rows, sampleRows }: DatasetManifest): string[] {
  const quantile = ({ quantiles }: ColumnStatistics, share: number): string =>
    decimal(quantiles.find((one) => one.share === share)?.value);
  const titles = ["missing", "distinct", "mean", "deviation", "min", "1 %", "median", "99 %", "max"];
  const table = alignedTable(
    [{ title: "column" }, ...titles.map(right)],
    columns.map((column) => [
      column.name,
      percent(column.missing, rows),
      whole(column.distinct),
      decimal(column.mean),
      decimal(column.standardDeviation),
      decimal(column.min),
      quantile(column, 0.01),
      quantile(column, 0.5),
      quantile(column, 0.99),
      decimal(column.max),
    ]),
  );
  if (sampleRows === rows) return table;
  return [
    ...table,
    `Distinct values and quantiles are of a random sample of ${whole(sampleRows)} rows, the rest of all.`,
  ];
}

const files = (manifest: DatasetManifest): string[] =>
  alignedTable(
    [{ title: "file" }, right("rows"), right("row groups"), right("size")],
    manifest.files.map(({ name, rows, rowGroups, bytes }) => [name, whole(rows), whole(rowGroups), size(bytes)]),
  );
