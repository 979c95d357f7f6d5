import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { toJsonString } from "@bufbuild/protobuf";
import { Verdict } from "@millrace/proto/millrace/feature/v1/dataset_report_pb.ts";
import { ReportDatasetResponseSchema } from "@millrace/proto/millrace/feature/v1/dataset_service_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectDatasets } from "./datasetClient.ts";
import { readPositionals } from "./datasetOptions.ts";
import { reportPage } from "./reportPage.ts";
import { reportText } from "./reportText.ts";

/** Says whether a dataset is honest enough to train on. */
export const datasetReport: Command = {
  name: "dataset report",
  usage: "<dataset> [--html <file>] [--without-live] [--json]",
  what: "is this data honest enough to train on? Labels, leak suspects, columns, what was served lately",
  details: `  <dataset>       its content hash, or the beginning of it
  --html <file>   writes the report with its pictures as one page, too
  --without-live  leaves out the comparison with the features that predictions were made from lately
  --json          for programs

Exit status 1 means: do not train on it.`,
  async run(commandArguments) {
    const { values, positionals } = readOptions({
      args: [...commandArguments],
      options: { html: { type: "string" }, "without-live": { type: "boolean" }, json: { type: "boolean" } },
      allowPositionals: true,
    });
    const [dataset = ""] = readPositionals("dataset report", ["dataset"], positionals);
    using client = connectDatasets();
    const answer = await client.reportDataset({ dataset, withoutLive: values["without-live"] === true });
    const { report, manifest } = answer;
    if (report === undefined || manifest === undefined) return 1;
    if (values.json === true) console.log(toJsonString(ReportDatasetResponseSchema, answer, { prettySpaces: 2 }));
    else console.log(reportText(manifest, report).join("\n"));
    if (values.html !== undefined) {
      const file = await writePage(values.html, reportPage(manifest, report));
      if (values.json !== true) console.log(`\nThe report as a page: ${file}`);
    }
    return report.verdict === Verdict.DO_NOT_TRAIN ? 1 : 0;
  },
};

async function writePage(path: string, page: string): Promise<string> {
  const file = resolve(process.env["MILLRACE_CWD"] ?? process.cwd(), path);
  try {
    await writeFile(file, page);
    return file;
  } catch (cause) {
    throw new MillraceError("invalid_argument", `The page ${file} cannot be written: ${describeError(cause)}`, {
      cause,
    });
  }
}
