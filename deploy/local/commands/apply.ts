import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { applyApp } from "@millrace/app";
import { connectBus } from "@millrace/bus";
import { describeError, MillraceError, silentLogger } from "@millrace/runtime";
import { readOptions } from "../commandLine.ts";
import { readEndpoints } from "../endpoints.ts";
import { defaultHome, Home } from "../home.ts";
import type { Command } from "./command.ts";

/** Checks an app file and stores it as the app's newest version; every service adopts it without a restart. */
export const apply: Command = {
  name: "apply",
  usage: "<app.yaml>",
  what: "check an app file and make it the app's newest version",
  async run(commandArguments) {
    const { positionals } = readOptions({ args: [...commandArguments], options: {}, allowPositionals: true });
    const [file, ...more] = positionals;
    if (file === undefined || more.length > 0) {
      throw new MillraceError(
        "invalid_argument",
        "apply takes one app file: npm run millrace -- apply path/to/app.yaml",
      );
    }
    const text = await readAppFile(file);
    const endpoints = readEndpoints(new Home(defaultHome()));
    await using bus = await connectBus(endpoints.nats.admin, "millrace apply", silentLogger);
    const { version, changed } = await applyApp(bus, text);
    const name = version.app?.app ?? "";
    console.log(
      changed
        ? `${name} is applied as version ${version.version}`
        : `${name} is version ${version.version} already; nothing has changed`,
    );
    return 0;
  },
};

/** Relative paths are relative to where the user is, not to where the command runs. */
async function readAppFile(file: string): Promise<string> {
  const path = resolve(process.env["MILLRACE_CWD"] ?? process.cwd(), file);
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new MillraceError("not_found", `The app file ${path} cannot be read: ${describeError(cause)}`, { cause });
  }
}
