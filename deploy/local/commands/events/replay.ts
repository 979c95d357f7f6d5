import type { ReplayRejectedEventsResponse } from "@millrace/proto/millrace/ingestion/v1/rejected_event_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { ProgressLine } from "../dataset/progressLine.ts";
import { whole } from "../dataset/wording.ts";
import {
  connectRejected,
  readId,
  readSelection,
  SELECTION_DETAILS,
  SELECTION_OPTIONS,
  SELECTION_USAGE,
} from "./rejectedOptions.ts";

/** Tries rejected events again. */
export const replay: Command = {
  name: "events replay",
  usage: `(<number> … | --all | ${SELECTION_USAGE}) [--dry-run]`,
  what: "tries rejected events again, after a fix; what passes counts once",
  details: `  <number> …             these, as \`events rejected\` lists them
  --all                  all that are rejected
${SELECTION_DETAILS}
  --dry-run              only tell what would become of them`,
  async run(commandArguments) {
    const { values, positionals } = readOptions({
      args: [...commandArguments],
      options: { ...SELECTION_OPTIONS, all: { type: "boolean" }, "dry-run": { type: "boolean" } },
      allowPositionals: true,
    });
    const ids = positionals.map(readId);
    const selects = Object.keys(SELECTION_OPTIONS).some(
      (name) => values[name as keyof typeof SELECTION_OPTIONS] !== undefined,
    );
    if ([ids.length > 0, selects, values.all === true].filter(Boolean).length !== 1) {
      throw new MillraceError(
        "invalid_argument",
        "events replay needs either numbers, or options that select (--app, --type, --reason, --since, --until), or --all",
      );
    }
    const request = { selection: readSelection(values), ids, dryRun: values["dry-run"] === true };
    using client = connectRejected();
    using line = new ProgressLine();
    let last: ReplayRejectedEventsResponse | undefined;
    for await (const progress of client.replayRejectedEvents(request)) {
      last = progress;
      line.show(`${whole(progress.replayed)} of ${whole(progress.selected)} replayed`);
    }
    line[Symbol.dispose]();
    if (last === undefined) throw new MillraceError("internal", "ingestion answered without a result");
    console.log(textOf(last, request.dryRun).join("\n"));
    return 0;
  },
};

function textOf(result: ReplayRejectedEventsResponse, dryRun: boolean): string[] {
  const { selected, replayed, accepted, duplicates, dropped, rejectedAgain, skipped, reasons } = result;
  if (selected === 0n) return ["Nothing to replay: none of these is still rejected."];
  const counts: readonly (readonly [string, bigint, string])[] = [
    [dryRun ? "would be accepted" : "accepted", accepted, ""],
    [dryRun ? "would be duplicates" : "duplicates", duplicates, "another event has the same id"],
    [dryRun ? "would be dropped" : "dropped", dropped, "by a noise rule"],
    [dryRun ? "would be rejected again" : "rejected again", rejectedAgain, listOf(reasons)],
    ["skipped", sum(skipped), listOf(skipped)],
  ];
  const width = Math.max(...counts.map(([name]) => name.length));
  const lines = [
    `${whole(replayed)} of ${whole(selected)} rejected events ${dryRun ? "checked; nothing was changed" : "replayed"}`,
    ...counts
      .filter(([, count]) => count > 0n)
      .map(([name, count, why]) => `  ${name.padEnd(width)}  ${whole(count)}${why === "" ? "" : ` (${why})`}`),
  ];
  if (rejectedAgain > 0n) lines.push("What is still wrong: npm run millrace -- events rejected");
  return lines;
}

const sum = (counts: Readonly<Record<string, bigint>>): bigint =>
  Object.values(counts).reduce((total, count) => total + count, 0n);

const listOf = (counts: Readonly<Record<string, bigint>>): string =>
  Object.entries(counts)
    .map(([name, count]) => `${name} ${whole(count)}`)
    .join(", ");
