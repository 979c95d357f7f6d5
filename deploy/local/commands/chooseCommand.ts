import { MillraceError } from "@millrace/runtime";
import type { Command } from "./command.ts";

/** What a command line asks for: to run a command with its arguments, or to be told something. */
export type Choice =
  | { readonly command: Command; readonly commandArguments: readonly string[] }
  | { readonly text: string };

/**
 * Finds the command that the first words name; a name may have several words, such as `events quality`. The first word alone lists its group.
 *
 * @throws `invalid_argument` when there is none, naming those that there are.
 */
export function chooseCommand(commands: readonly Command[], words: readonly string[]): Choice {
  const [first] = words;
  if (first === undefined || first === "--help" || first === "help") return { text: listOf(commands) };
  const command = commands.find(({ name }) => name.split(" ").every((word, index) => words[index] === word));
  if (command === undefined) return { text: listOf(groupOf(commands, words)) };
  const commandArguments = words.slice(command.name.split(" ").length);
  return commandArguments.includes("--help") ? { text: helpOf(command) } : { command, commandArguments };
}

function groupOf(commands: readonly Command[], [first, second]: readonly string[]): readonly Command[] {
  const group = commands.filter(({ name }) => name.startsWith(`${first} `));
  const asked = second !== undefined && !second.startsWith("-");
  if (group.length > 0 && !asked) return group;
  const known = (group.length > 0 ? group : commands).map(({ name }) => name).join(", ");
  const name = group.length > 0 ? `${first} ${second}` : first;
  throw new MillraceError("invalid_argument", `There is no command "${name}"; there are: ${known}`);
}

function listOf(commands: readonly Command[]): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const lines = commands.map(({ name, what }) => `  ${name.padEnd(width)}   ${what}`);
  return `Usage: npm run millrace -- <command> [options]

${lines.join("\n")}

"npm run millrace -- <command> --help" tells a command's options. All talk to the system that "npm start" or "npm run up" started.`;
}

const helpOf = ({ name, usage, what, details }: Command): string =>
  `Usage: npm run millrace -- ${name} ${usage}\n\n${what}${details === undefined ? "" : `\n\n${details}`}`;
