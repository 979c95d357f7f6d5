import { MillraceError } from "@millrace/runtime";

export interface VersionName {
  readonly app: string;
  readonly number: number;
}

/** @throws `invalid_argument` unless it is one name of the form `<app>/<number>` */
export function readVersionName(command: string, positionals: readonly string[]): VersionName {
  const [, app, number] = /^([^/]+)\/([1-9]\d{0,8})$/.exec(positionals[0] ?? "") ?? [];
  if (app !== undefined && positionals.length === 1) return { app, number: Number(number) };
  const came = positionals.length === 0 ? "nothing" : `"${positionals.join(" ")}"`;
  throw new MillraceError(
    "invalid_argument",
    `${command} takes <app>/<number>, such as flight-delays/3, not ${came}; models list --app <app> lists them`,
  );
}
