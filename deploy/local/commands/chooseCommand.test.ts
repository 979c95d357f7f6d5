import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseCommand } from "./chooseCommand.ts";
import type { Command } from "./command.ts";

const command = (name: string, details?: string): Command => ({
  name,
  usage: "<x>",
  what: `does ${name}`,
  ...(details === undefined ? {} : { details }),
  run: () => Promise.resolve(0),
});

const COMMANDS = [command("apply"), command("events quality", "  --app   whose"), command("events rejected")];

function textOf(...words: string[]): string {
  const choice = chooseCommand(COMMANDS, words);
  return "text" in choice ? choice.text : assert.fail(`it chose ${choice.command.name}`);
}

test("a command is found by its name, of one word or two, and gets the words after it", () => {
  for (const [words, name, rest] of [
    [["apply", "app.yaml"], "apply", ["app.yaml"]],
    [["events", "quality", "--app", "x"], "events quality", ["--app", "x"]],
    [["events", "rejected"], "events rejected", []],
  ] as const) {
    const choice = chooseCommand(COMMANDS, words);
    assert.ok("command" in choice);
    assert.deepEqual([choice.command.name, choice.commandArguments], [name, rest]);
  }
});

test("without a command, or with its group alone, one is told the commands, and with --help their options", () => {
  for (const words of [[], ["--help"], ["help"]]) {
    assert.match(textOf(...words), / {2}apply {13}does apply\n {2}events quality {4}does events quality\n/);
  }
  for (const words of [["events"], ["events", "--help"]]) {
    assert.match(textOf(...words), /events quality/);
    assert.doesNotMatch(textOf(...words), /apply/);
  }
  const help = "Usage: npm run millrace -- events quality <x>\n\ndoes events quality\n\n  --app   whose";
  assert.equal(textOf("events", "quality", "--help"), help);
  assert.equal(textOf("apply", "--help"), "Usage: npm run millrace -- apply <x>\n\ndoes apply");
});

test("a command that there is not is told, with those that there are", () => {
  const refusal = (...words: string[]) => ({ words, code: "invalid_argument" });
  for (const [{ words, code }, message] of [
    [refusal("aply"), 'There is no command "aply"; there are: apply, events quality, events rejected'],
    [refusal("events", "lost"), 'There is no command "events lost"; there are: events quality, events rejected'],
  ] as const) {
    assert.throws(() => chooseCommand(COMMANDS, words), { code, message });
  }
});
