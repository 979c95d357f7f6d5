import { resolve } from "node:path";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectDatasets } from "./datasetClient.ts";
import { DatasetFolder } from "./datasetFolder.ts";
import { readPositionals } from "./datasetOptions.ts";
import { ProgressLine } from "./progressLine.ts";
import { shortHash, size, whole } from "./wording.ts";

/** Writes a dataset's files to a folder. */
export const datasetExport: Command = {
  name: "dataset export",
  usage: "<dataset> <folder>",
  what: "write a dataset to a folder: part-00000.parquet …, manifest.json, SHA256SUMS",
  details: `  <dataset>   its content hash, or the beginning of it
  <folder>    is made when it does not exist; one that holds anything is left alone

Every file is checked against its SHA-256. The manifest is written last: a folder that has it is complete.
Columns are key (string), occurred_at (timestamp, UTC, ms), one double per feature (null where missing), label (double, null
where it is not known). In Python: pyarrow.parquet.read_table("<folder>/part-00000.parquet").`,
  async run(commandArguments) {
    const { positionals } = readOptions({ args: [...commandArguments], options: {}, allowPositionals: true });
    const [dataset = "", path = ""] = readPositionals("dataset export", ["dataset", "folder"], positionals);
    // Relative paths are relative to where the user is, not to where the command runs.
    const folder = resolve(process.env["MILLRACE_CWD"] ?? process.cwd(), path);
    using client = connectDatasets();
    using progress = new ProgressLine();
    await using target = await DatasetFolder.open(folder);
    for await (const { part } of client.exportDataset({ dataset })) {
      if (part.case === "manifest") target.begin(part.value);
      if (part.case === "chunk") await target.write(part.value);
      progress.show(`${size(target.bytesWritten)} written`);
    }
    const { contentHash, files, rows } = await target.finish();
    progress[Symbol.dispose]();
    console.log(
      `${folder}: dataset ${shortHash(contentHash)}, ${whole(rows)} rows in ${files.length} Parquet ${files.length === 1 ? "file" : "files"}`,
    );
    return 0;
  },
};
