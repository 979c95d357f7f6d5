import { toJson } from "@bufbuild/protobuf";
import {
  type ListRejectedEventsResponse,
  type RejectedEvent,
  RejectedEventSchema,
  RejectedEventState,
} from "@millrace/proto/millrace/ingestion/v1/rejected_event_pb.ts";
import { MillraceError } from "@millrace/runtime";
import { alignedTable } from "../../alignedTable.ts";
import { readOptions } from "../../commandLine.ts";
import type { Command } from "../command.ts";
import { moment, whole } from "../dataset/wording.ts";
import {
  connectRejected,
  readSelection,
  SELECTION_DETAILS,
  SELECTION_OPTIONS,
  SELECTION_USAGE,
} from "./rejectedOptions.ts";

const DEFAULT_LIMIT = 20;
const LARGEST_LIMIT = 1_000;
const WIDEST_DESCRIPTION = 90;

const STATES: Readonly<Record<string, RejectedEventState>> = {
  rejected: RejectedEventState.REJECTED,
  accepted: RejectedEventState.ACCEPTED,
  duplicate: RejectedEventState.DUPLICATE,
  dropped: RejectedEventState.DROPPED,
};

/** Lists rejected events. */
export const rejected: Command = {
  name: "events rejected",
  usage: `${SELECTION_USAGE} [--state <state>] [--limit <n>] [--json]`,
  what: "what was rejected, newest first, and why",
  details: `${SELECTION_DETAILS}
  --state <state>        rejected (default: still so), or what a replay made of it: accepted, duplicate, dropped
  --limit <n>            how many, up to ${LARGEST_LIMIT}; default ${DEFAULT_LIMIT}
  --json                 for programs`,
  async run(commandArguments) {
    const { values } = readOptions({
      args: [...commandArguments],
      options: {
        ...SELECTION_OPTIONS,
        state: { type: "string" },
        limit: { type: "string" },
        json: { type: "boolean" },
      },
    });
    const { state = "rejected", json = false } = values;
    const request = {
      selection: readSelection(values),
      state: readState(state),
      pageSize: readLimit(values.limit),
    };
    using client = connectRejected();
    const response = await client.listRejectedEvents(request, { timeoutMs: 60_000 });
    if (json)
      console.log(
        JSON.stringify(
          response.events.map((event) => toJson(RejectedEventSchema, event)),
          undefined,
          2,
        ),
      );
    else console.log(textOf(response, state));
    return 0;
  },
};

function readState(given: string): RejectedEventState {
  const state = Object.hasOwn(STATES, given) ? STATES[given] : undefined;
  if (state !== undefined) return state;
  throw new MillraceError(
    "invalid_argument",
    `--state must be one of ${Object.keys(STATES).join(", ")}, not "${given}"`,
  );
}

function readLimit(given: string | undefined): number {
  const limit = given === undefined ? DEFAULT_LIMIT : Number(given);
  if (Number.isInteger(limit) && limit >= 1 && limit <= LARGEST_LIMIT) return limit;
  throw new MillraceError(
    "invalid_argument",
    `--limit must be a whole number from 1 to ${LARGEST_LIMIT}, not "${given}"`,
  );
}

function textOf({ events, counts }: ListRejectedEventsResponse, state: string): string {
  if (events.length === 0) return state === "rejected" ? "Nothing is rejected." : `No rejected event was ${state}.`;
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0n);
  const reasons = Object.entries(counts)
    .sort(([, left], [, right]) => Number(right - left))
    .map(([reason, count]) => `${reason} ${whole(count)}`);
  const table = alignedTable(
    [
      { title: "number", align: "right" },
      { title: "rejected at" },
      { title: "app" },
      { title: "type" },
      { title: "id" },
      { title: "happened at" },
      { title: "why" },
    ],
    events.map(rowOf),
  );
  const shown = events.length < Number(all) ? `; the newest ${whole(events.length)} of them` : "";
  const lines = [`${whole(all)} ${state}: ${reasons.join(", ")}${shown}`, "", ...table];
  if (state !== "rejected") return lines.join("\n");
  return [
    ...lines,
    "",
    "One of them whole:  npm run millrace -- events show <number>",
    "After a fix:        npm run millrace -- events replay <number> …, or with the options of this list",
  ].join("\n");
}

function rowOf(event: RejectedEvent): string[] {
  const { id, rejectedAt, app, stream, type, eventId, occurredAt, description, replays } = event;
  const again = replays === 0 ? "" : ` (${replays} ${replays === 1 ? "replay" : "replays"})`;
  return [
    String(id),
    moment(rejectedAt),
    app,
    type === "" ? stream : type,
    short(eventId || "-", 40),
    moment(occurredAt),
    short(description, WIDEST_DESCRIPTION) + again,
  ];
}

const short = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
