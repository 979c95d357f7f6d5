import { createHash } from "node:crypto";
import { open, rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { ModelVersion } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { describeError, MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { readPositionals } from "../dataset/datasetOptions.ts";
import { size } from "../dataset/wording.ts";
import { nameOf } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";
import { readVersionName, type VersionName } from "./versionName.ts";

/** Writes a version's ONNX file. */
export const modelsDownload: Command = {
  name: "models download",
  usage: "<app>/<number> <file.onnx>",
  what: "write a version's ONNX file, the very one that serves",
  details: `  <app>/<number>   such as flight-delays/3; npm run millrace -- models list --app <app> lists them
  <file.onnx>      is made; one that exists is left alone

It is checked against its SHA-256. It takes "features" (float32 [rows, n], columns as models show tells, NaN where missing) and answers
"probability" (float32 [rows, 1]). In Python: onnxruntime.InferenceSession("<file.onnx>").`,
  async run(commandArguments) {
    const { positionals } = readOptions({ args: [...commandArguments], options: {}, allowPositionals: true });
    const [name = "", path = ""] = readPositionals("models download", ["version", "file.onnx"], positionals);
    const version = readVersionName("models download", [name]);
    const file = resolve(process.env["MILLRACE_CWD"] ?? process.cwd(), path);
    const model = await download(version, file);
    console.log(`${file}: ${nameOf(model)}, ${size(model.artefactBytes)}, SHA-256 ${model.artefact}`);
    return 0;
  },
};

/** @throws `already_exists` for a file that is there, `data_loss` when it did not arrive as it is stored; then nothing is left of it */
async function download(version: VersionName, path: string): Promise<ModelVersion> {
  using registry = connectRegistry();
  const file = await open(path, "wx").catch((cause: unknown) => {
    throw new MillraceError("already_exists", `The file ${path} cannot be made: ${describeError(cause)}`, { cause });
  });
  try {
    const hash = createHash("sha256");
    let model: ModelVersion | undefined;
    for await (const { part } of registry.downloadModel(version)) {
      if (part.case === "model") model = part.value;
      if (part.case !== "chunk") continue;
      hash.update(part.value);
      await file.writeFile(part.value);
    }
    if (model === undefined || hash.digest("hex") !== model.artefact) {
      throw new MillraceError("data_loss", `The file of ${nameOf(version)} did not arrive as it is stored; try again`);
    }
    await file.close();
    return model;
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  }
}
