import { userInfo } from "node:os";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import { readVersionName, type VersionName } from "./versionName.ts";

/** A change of a version, with who wants it and why. */
export interface Wish extends VersionName {
  readonly reason: string;
  readonly author: string;
}

/** Of every command that changes something. */
export const WISH_DETAILS = `  <app>/<number>    such as flight-delays/3; npm run millrace -- models list --app <app> lists them
  --reason <text>   why; kept with the version's history
  --author <name>   who says so; default: you`;

/** @throws `invalid_argument` naming the option, the rule and the value */
export function readWish(command: string, words: readonly string[]): Wish {
  const { positionals, ...rest } = readReason(command, words);
  return { ...readVersionName(command, positionals), ...rest };
}

/** The words of a command that changes something: what is no option, why, and by whom. */
export function readReason(
  command: string,
  words: readonly string[],
): { positionals: readonly string[]; reason: string; author: string } {
  const options = { reason: { type: "string" }, author: { type: "string" } } as const;
  const { values, positionals } = readOptions({ args: [...words], options, allowPositionals: true });
  const { reason = "", author = "" } = values;
  if (reason === "") {
    const what = `${command} needs --reason, which is kept with the history`;
    throw new MillraceError("invalid_argument", `${what}; see npm run millrace -- ${command} --help`);
  }
  return { positionals, reason, author: author || userInfo().username };
}
