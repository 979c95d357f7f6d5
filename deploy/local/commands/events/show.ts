import { toJson } from "@bufbuild/protobuf";
import {
  type GetRejectedEventResponse,
  GetRejectedEventResponseSchema,
  RejectedEventState,
} from "@millrace/proto/millrace/ingestion/v1/rejected_event_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { moment, whole } from "../dataset/wording.ts";
import { connectRejected, readId } from "./rejectedOptions.ts";

const NAMES: Readonly<Record<RejectedEventState, string>> = {
  [RejectedEventState.UNSPECIFIED]: "unknown",
  [RejectedEventState.REJECTED]: "rejected",
  [RejectedEventState.ACCEPTED]: "accepted",
  [RejectedEventState.DUPLICATE]: "a duplicate: another event has its id",
  [RejectedEventState.DROPPED]: "dropped by a noise rule",
};

/** Bytes of a message that are shown when it is no text. */
const SHOWN_BYTES = 256;

/** Shows one rejected event. */
export const show: Command = {
  name: "events show",
  usage: "<number> [--json | --bytes]",
  what: "one rejected event: what is wrong, and the message as it was sent",
  details: `  <number>   as \`events rejected\` lists it
  --json     for programs
  --bytes    nothing but the message's bytes, as they came`,
  async run(commandArguments) {
    const { values, positionals } = readOptions({
      args: [...commandArguments],
      options: { json: { type: "boolean" }, bytes: { type: "boolean" } },
      allowPositionals: true,
    });
    const [number, ...others] = positionals;
    if (number === undefined || others.length > 0) {
      throw new MillraceError("invalid_argument", "events show needs one number; `events rejected` lists them");
    }
    if (values.json === true && values.bytes === true) {
      throw new MillraceError("invalid_argument", "events show takes either --json or --bytes, not both");
    }
    const id = readId(number);
    using client = connectRejected();
    const response = await client.getRejectedEvent({ id }, { timeoutMs: 60_000 });
    if (values.bytes === true) {
      if (response.missing !== "") throw new MillraceError("failed_precondition", response.missing);
      process.stdout.write(response.data);
    } else if (values.json === true) {
      console.log(JSON.stringify(toJson(GetRejectedEventResponseSchema, response), undefined, 2));
    } else console.log(textOf(response).join("\n"));
    return 0;
  },
};

function textOf(response: GetRejectedEventResponse): string[] {
  const { event, violations, omittedViolations, headers, data, json, missing } = response;
  if (event === undefined) return [];
  const { id, subject, stream, streamSequence, place, eventId, occurredAt, rejectedAt, state, replays } = event;
  const part = place > 0 ? `, event ${place} of the message (from 0)` : "";
  const lines = [
    `Rejected event ${id}`,
    "",
    `  subject      ${subject}`,
    `  from         ${stream}, message ${streamSequence}${part}`,
    `  id           ${eventId || "(could not be read)"}`,
    `  happened at  ${moment(occurredAt)}`,
    `  rejected at  ${moment(rejectedAt)}`,
    `  now          ${NAMES[state]}${replays > 0 ? `, after ${replays} replay(s)` : ""}`,
    "",
    "What is wrong",
  ];
  for (const { field, reason, description } of violations) lines.push(`  ${field}: ${description} (${reason})`);
  if (violations.length === 0) lines.push(`  ${event.description}`);
  if (omittedViolations > 0) {
    lines.push(
      `  … and ${whole(omittedViolations)} more; npm run millrace -- events replay ${id} tries it again, and then all are told`,
    );
  }
  const named = Object.entries(headers);
  if (named.length > 0) lines.push("", "Headers", ...named.map(([name, value]) => `  ${name}: ${value}`));
  lines.push("", "Message");
  if (missing !== "") lines.push(`  ${missing}`);
  else if (json !== "") lines.push(...json.split("\n").map((line) => `  ${line}`));
  else lines.push(...bytesText(data));
  return lines;
}

/** Text as text, anything else as hexadecimal digits. */
function bytesText(data: Uint8Array): string[] {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(data);
    if (!/\p{Cc}/u.test(text.replace(/[\r\n\t]/g, ""))) return text.split("\n").map((line) => `  ${line}`);
  } catch {
    // It is no text.
  }
  const shown =
    Buffer.from(data.subarray(0, SHOWN_BYTES))
      .toString("hex")
      .match(/.{1,64}/g) ?? [];
  const more = data.length > SHOWN_BYTES ? [`  … ${data.length} bytes in all; --bytes gives them`] : [];
  return [...shown.map((line) => `  ${line}`), ...more];
}
