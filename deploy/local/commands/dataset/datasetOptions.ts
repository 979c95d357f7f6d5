import { MillraceError } from "@millrace/runtime";

/** Reads a moment: `2001-02-03` (midnight UTC) or `2001-02-03T04:05:06Z`. @throws `invalid_argument` for anything else */
export function readMoment(name: string, text: string | undefined): Date | undefined {
  if (text === undefined) return undefined;
  const moment = new Date(text);
  if (
    /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text) &&
    !Number.isNaN(moment.getTime())
  ) {
    return moment;
  }
  throw new MillraceError(
    "invalid_argument",
    `--${name} must be a day or a time with its zone, such as 2001-02-03 or 2001-02-03T04:05:06Z, not "${text}"`,
  );
}

/** @throws `invalid_argument` unless there are as many positionals as names. */
export function readPositionals(
  command: string,
  names: readonly string[],
  given: readonly string[],
): readonly string[] {
  if (given.length === names.length) return given;
  const wanted = names.map((name) => `<${name}>`).join(" ");
  throw new MillraceError("invalid_argument", `${command} takes ${wanted}; see npm run millrace -- ${command} --help`);
}
