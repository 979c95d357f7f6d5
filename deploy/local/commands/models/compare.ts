import { toJsonString } from "@bufbuild/protobuf";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import {
  type CompareModelsResponse,
  CompareModelsResponseSchema,
} from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { alignedTable, wrapText } from "../../alignedTable.ts";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { readPositionals } from "../dataset/datasetOptions.ts";
import { decimal, moment, shortHash } from "../dataset/wording.ts";
import { nameOf, stateOf } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";
import { readVersionName } from "./versionName.ts";

/** Shows two versions side by side. */
export const modelsCompare: Command = {
  name: "models compare",
  usage: "<app>/<number> <app>/<number> [--stored] [--json]",
  what: "two versions side by side: their metrics then, and on the same rows now",
  details: `  <app>/<number>   two of one app, such as flight-delays/3 flight-delays/5
  --stored         only the metrics of their registration, which may be of different rows; else a dataset is built
  --json           for programs`,
  async run(commandArguments) {
    const options = { stored: { type: "boolean" }, json: { type: "boolean" } } as const;
    const { values, positionals } = readOptions({ args: [...commandArguments], options, allowPositionals: true });
    const names = readPositionals("models compare", ["version", "version"], positionals);
    const [left, right] = names.map((name) => readVersionName("models compare", [name]));
    if (left === undefined || right === undefined || left.app !== right.app) {
      throw new MillraceError(
        "invalid_argument",
        `models compare takes two versions of one app, not ${names.join(" ")}`,
      );
    }
    using registry = connectRegistry();
    const { app } = left;
    const storedOnly = values.stored === true;
    const compared = await registry.compareModels({ app, left: left.number, right: right.number, storedOnly });
    const json = values.json === true;
    console.log(
      json
        ? toJsonString(CompareModelsResponseSchema, compared, { prettySpaces: 2 })
        : describeComparison(compared).join("\n"),
    );
    return 0;
  },
};

/** For people. */
export function describeComparison({
  left,
  right,
  leftMetrics,
  rightMetrics,
  datasetHash,
  remarks,
}: CompareModelsResponse): string[] {
  if (left === undefined || right === undefined) return [];
  const title = (text: string) =>
    [{ title: text }, { title: nameOf(left), align: "right" }, { title: nameOf(right), align: "right" }] as const;
  const about = (name: string, of: (model: ModelVersion) => string): string[] => [name, of(left), of(right)];
  const rowsOf = (own: Metrics, other: Metrics): string[][] =>
    [...new Set([...Object.keys(own), ...Object.keys(other)])]
      .sort()
      .map((name) => [name, decimal(own[name]), decimal(other[name])]);
  const onSameRows =
    datasetHash === ""
      ? []
      : [
          "",
          ...alignedTable(
            title(`on the same rows (dataset ${shortHash(datasetHash)})`),
            rowsOf(leftMetrics, rightMetrics),
          ),
        ];
  return [
    ...alignedTable(title(""), [
      about("state", stateOf),
      about("made by", ({ origin, algorithm }) => (origin === undefined ? algorithm : `${origin.author} (upload)`)),
      about("data up to", ({ asOf }) => moment(asOf)),
      about("dataset", (model) => shortHash(model.datasetHash) || "-"),
      about("compared with", ({ parent }) => (parent === 0 ? "-" : String(parent))),
      about("code", ({ codeVersion }) => codeVersion || "-"),
    ]),
    "",
    ...alignedTable(
      title(left.datasetHash === right.datasetHash ? "when registered" : "when registered, each on rows of its own"),
      rowsOf(left.metrics, right.metrics),
    ),
    ...onSameRows,
    ...remarks.map((remark) => wrapText(remark, 120)),
  ];
}

type Metrics = Readonly<Record<string, number>>;
