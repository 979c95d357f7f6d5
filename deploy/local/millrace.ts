import { MillraceError } from "@millrace/runtime";
import { runCommand } from "./commandLine.ts";
import { apply } from "./commands/apply.ts";
import { apps } from "./commands/apps.ts";
import type { Command } from "./commands/command.ts";
import { status } from "./commands/status.ts";

/** Every command of `npm run millrace`, one file each in `commands/`. */
const COMMANDS: readonly Command[] = [apply, apps, status];

const HELP = `Usage: npm run millrace -- <command> [options]

${COMMANDS.map(({ name, usage, what }) => `  ${`${name} ${usage}`.padEnd(24)} ${what}`).join("\n")}

They talk to the system that "npm start" or "npm run up" started.
`;

await runCommand(async () => {
  const [name, ...rest] = process.argv.slice(2);
  if (name === undefined || name === "--help" || name === "help") {
    console.log(HELP);
    return 0;
  }
  const command = COMMANDS.find((candidate) => candidate.name === name);
  if (command === undefined) {
    const known = COMMANDS.map((candidate) => candidate.name).join(", ");
    throw new MillraceError("invalid_argument", `There is no command "${name}"; there are: ${known}`);
  }
  if (rest.includes("--help")) {
    console.log(`Usage: npm run millrace -- ${name} ${command.usage}\n\n${command.what}`);
    return 0;
  }
  return command.run(rest);
});
