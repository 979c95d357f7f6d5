import { type ParseArgsConfig, parseArgs } from "node:util";
import { describeError, MillraceError } from "@millrace/runtime";
import { Stopped } from "./stopRequest.ts";

/** Writes one line of progress. */
export const say = (line: string): void => console.error(`millrace: ${line}`);

/**
 * Runs a command's main function and ends the process with the status that it returns: 0, or 1 when it failed. An
 * expected error is shown as its one sentence, a bug with its stack.
 */
export async function runCommand(main: () => Promise<number>): Promise<never> {
  let status: number;
  try {
    status = await main();
  } catch (error) {
    status = error instanceof Stopped ? 130 : 1;
    if (!(error instanceof Stopped)) {
      const known = error instanceof MillraceError;
      say(known ? describeError(error) : String((error as Error).stack ?? error));
    }
  }
  process.exit(status);
}

/** Reads options. @throws `invalid_argument` that names an unknown one and points to --help. */
export function readOptions<Config extends ParseArgsConfig>(config: Config): ReturnType<typeof parseArgs<Config>> {
  try {
    return parseArgs(config);
  } catch (cause) {
    const text = describeError(cause).split(". ")[0];
    throw new MillraceError("invalid_argument", `${text}; see --help`, { cause });
  }
}

/** @throws `invalid_argument` unless the text is a port number. */
export function readPort(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const port = Number(text);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new MillraceError("invalid_argument", `--${name} must be a port number from 1 to 65535, not "${text}"`);
}
