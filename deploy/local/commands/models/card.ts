import { toJsonString } from "@bufbuild/protobuf";
import { EvaluationSchema } from "@millrace/proto/millrace/training/v1/evaluation_pb.ts";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { connectRegistry } from "./registryClient.ts";
import { readVersionName } from "./versionName.ts";

/** Prints a version's model card. */
export const modelsCard: Command = {
  name: "models card",
  usage: "<app>/<number> [--json]",
  what: "a model version's card, as Markdown: what data, how good, where bad, why accepted or not",
  details: `  <app>/<number>   such as flight-delays/3; npm run millrace -- models list --app <app> lists them
  --json           the whole evaluation with its curves, for programs`,
  async run(commandArguments) {
    const options = { json: { type: "boolean" } } as const;
    const { values, positionals } = readOptions({ args: [...commandArguments], options, allowPositionals: true });
    using registry = connectRegistry();
    const { markdown, evaluation } = await registry.getModelCard(readVersionName("models card", positionals));
    const asked = values.json === true && evaluation !== undefined;
    console.log(asked ? toJsonString(EvaluationSchema, evaluation, { prettySpaces: 2 }) : markdown);
    return 0;
  },
};
