import { toJson } from "@bufbuild/protobuf";
import { ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { describeTrial } from "./historyText.ts";
import { tableOf } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";

/** Lists an app's model versions. */
export const modelsList: Command = {
  name: "models list",
  usage: "--app <app> [--deleted] [--json]",
  what: "an app's model versions, newest first",
  details: `  --app <app>   the app that they were made for
  --deleted     those that were deleted, too
  --json        the whole versions, for programs`,
  async run(commandArguments) {
    const options = { app: { type: "string" }, deleted: { type: "boolean" }, json: { type: "boolean" } } as const;
    const { values } = readOptions({ args: [...commandArguments], options });
    const { app, deleted = false, json = false } = values;
    if (app === undefined) {
      throw new MillraceError("invalid_argument", "models list needs --app; npm run millrace -- apps lists them");
    }
    using registry = connectRegistry();
    const { models, trial } = await registry.listModels({ app, deleted });
    if (json) {
      const all = models.map((model) => toJson(ModelVersionSchema, model));
      console.log(JSON.stringify(all, undefined, 2));
      return 0;
    }
    if (models.length === 0) {
      console.log(
        `${app} has no model yet; bring one with: npm run millrace -- models upload <file.onnx> --app ${app}`,
      );
      return 0;
    }
    console.log([...tableOf(models), ...describeTrial(trial)].join("\n"));
    return 0;
  },
};
