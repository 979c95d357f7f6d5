import { runCommand } from "./commandLine.ts";
import { apply } from "./commands/apply.ts";
import { apps } from "./commands/apps.ts";
import { chooseCommand } from "./commands/chooseCommand.ts";
import type { Command } from "./commands/command.ts";
import { quality } from "./commands/events/quality.ts";
import { status } from "./commands/status.ts";

/** Every command of `npm run millrace`, one file each in `commands/`. */
const COMMANDS: readonly Command[] = [apply, apps, status, quality];

await runCommand(async () => {
  const choice = chooseCommand(COMMANDS, process.argv.slice(2));
  if ("command" in choice) return choice.command.run(choice.commandArguments);
  console.log(choice.text);
  return 0;
});
