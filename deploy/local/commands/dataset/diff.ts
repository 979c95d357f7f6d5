import { toJsonString } from "@bufbuild/protobuf";
import {
  type DatasetManifest,
  type DiffDatasetsResponse,
  DiffDatasetsResponseSchema,
} from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { alignedTable } from "../../alignedTable.ts";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectDatasets } from "./datasetClient.ts";
import { readPositionals } from "./datasetOptions.ts";
import { decimal, moment, percent, shortHash, whole } from "./wording.ts";

/** Compares two datasets. */
export const datasetDiff: Command = {
  name: "dataset diff",
  usage: "<left> <right> [--json]",
  what: "what differs between two datasets: definitions, rows, labels, and the distribution of each column",
  details: `  <left> <right>   content hashes, or the beginnings of them
  --json           for programs

PSI is the population stability index over tenths of the left side (0.1 is a small shift, 0.25 a large one), KS the largest
difference between the two cumulative distributions. A column is marked where either is 0.1 or more, and more than chance.`,
  async run(commandArguments) {
    const { values, positionals } = readOptions({
      args: [...commandArguments],
      options: { json: { type: "boolean" } },
      allowPositionals: true,
    });
    const [left = "", right = ""] = readPositionals("dataset diff", ["left", "right"], positionals);
    using client = connectDatasets();
    const difference = await client.diffDatasets({ left, right });
    if (values.json === true) console.log(toJsonString(DiffDatasetsResponseSchema, difference, { prettySpaces: 2 }));
    else console.log(textOf(difference).join("\n"));
    return 0;
  },
};

function textOf({ left, right, definitions, columns, remarks }: DiffDatasetsResponse): string[] {
  if (left === undefined || right === undefined) return [];
  const lines = alignedTable(
    [{ title: "" }, { title: shortHash(left.contentHash) }, { title: shortHash(right.contentHash) }],
    FACTS.map(([name, fact]) => [name, fact(left), fact(right)]),
  );
  if (definitions.length > 0) {
    lines.push("", "Definitions that are not the same:");
    for (const { name, leftText, rightText } of definitions) {
      lines.push(`  ${name}`, `    - ${leftText || "(none)"}`, `    + ${rightText || "(none)"}`);
    }
  }
  lines.push("", ...distances(columns), "");
  lines.push(...(remarks.length === 0 ? ["Nothing differs that matters."] : remarks));
  return lines;
}

const FACTS: readonly (readonly [string, (manifest: DatasetManifest) => string])[] = [
  ["app", ({ app, appVersion }) => `${app}, version ${appVersion}`],
  ["first row", ({ firstRowAt }) => moment(firstRowAt)],
  ["last row", ({ lastRowAt }) => moment(lastRowAt)],
  ["known before", ({ knownBefore }) => moment(knownBefore)],
  ["rows", ({ rows }) => whole(rows)],
  ["labelled", ({ rows, labelledRows }) => `${whole(labelledRows)} (${percent(labelledRows, rows)})`],
  ["positive", ({ labels, labelledRows }) => percent(labels?.positiveRows ?? 0n, labelledRows)],
  ["features", ({ features }) => whole(features.length)],
];

const distances = (columns: DiffDatasetsResponse["columns"]): string[] =>
  alignedTable(
    [
      { title: "column" },
      ...["PSI", "KS", "mean left", "mean right", "missing left", "missing right"].map(
        (title) => ({ title, align: "right" }) as const,
      ),
      { title: "" },
    ],
    columns.map((column) => [
      column.name,
      Number.isNaN(column.psi) ? "-" : column.psi.toFixed(3),
      Number.isNaN(column.ks) ? "-" : column.ks.toFixed(3),
      decimal(column.leftMean),
      decimal(column.rightMean),
      percent(column.leftMissingShare, 1),
      percent(column.rightMissingShare, 1),
      column.differs ? "differs" : "",
    ]),
  );
