import { toJsonString } from "@bufbuild/protobuf";
import { ModelVersionSchema } from "@millrace/proto/millrace/training/v1/model_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { describeModel } from "./modelText.ts";
import { connectRegistry } from "./registryClient.ts";

/** Shows one model version. */
export const modelsShow: Command = {
  name: "models show",
  usage: "<app>/<number> [--json]",
  what: "a model version: where it comes from, how good it is, why it serves or not",
  details: `  <app>/<number>   such as flight-delays/3; npm run millrace -- models list --app <app> lists them
  --json           the whole version, for programs`,
  async run(commandArguments) {
    const options = { json: { type: "boolean" } } as const;
    const { values, positionals } = readOptions({ args: [...commandArguments], options, allowPositionals: true });
    const { app, number } = readVersionName(positionals);
    using registry = connectRegistry();
    const { model } = await registry.getModel({ app, number });
    if (model === undefined) return 1;
    console.log(
      values.json === true
        ? toJsonString(ModelVersionSchema, model, { prettySpaces: 2 })
        : describeModel(model).join("\n"),
    );
    return 0;
  },
};

/** @throws `invalid_argument` unless it is one name of the form `<app>/<number>` */
export function readVersionName(
  positionals: readonly string[],
  command = "models show",
): { app: string; number: number } {
  const [, app, number] = /^([^/]+)\/([1-9]\d{0,8})$/.exec(positionals[0] ?? "") ?? [];
  if (app !== undefined && positionals.length === 1) return { app, number: Number(number) };
  const came = positionals.length === 0 ? "nothing" : `"${positionals.join(" ")}"`;
  throw new MillraceError(
    "invalid_argument",
    `${command} takes <app>/<number>, such as flight-delays/3, not ${came}; models list --app <app> lists them`,
  );
}
