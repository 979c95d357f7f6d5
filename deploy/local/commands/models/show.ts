import { toJsonString } from "@bufbuild/protobuf";
import { GetModelResponseSchema } from "@millrace/proto/millrace/training/v1/registry_service_pb.ts";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { describeHistory, describeTrial } from "./historyText.ts";
import { describeModel } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";
import { readVersionName } from "./versionName.ts";

/** Shows one model version. */
export const modelsShow: Command = {
  name: "models show",
  usage: "<app>/<number> [--json]",
  what: "a model version: where it comes from, how good it is, why it serves or not, and who changed what",
  details: `  <app>/<number>   such as flight-delays/3; npm run millrace -- models list --app <app> lists them
  --json           the whole version with its history, for programs`,
  async run(commandArguments) {
    const options = { json: { type: "boolean" } } as const;
    const { values, positionals } = readOptions({ args: [...commandArguments], options, allowPositionals: true });
    const { app, number } = readVersionName("models show", positionals);
    using registry = connectRegistry();
    const known = await registry.getModel({ app, number });
    if (known.model === undefined) return 1;
    const text = [...describeModel(known.model), ...describeTrial(known.trial), ...describeHistory(known.history)];
    console.log(
      values.json === true ? toJsonString(GetModelResponseSchema, known, { prettySpaces: 2 }) : text.join("\n"),
    );
    return 0;
  },
};
