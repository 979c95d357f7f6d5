import { RejectedEventService } from "@millrace/proto/millrace/ingestion/v1/rejected_event_pb.ts";
import type { RpcClient } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { connectIngestion } from "./connectIngestion.ts";
import { readMomentOrAge } from "./timeOption.ts";

const text = { type: "string" } as const;

/** The options that select rejected events. */
export const SELECTION_OPTIONS = { app: text, type: text, reason: text, since: text, until: text } as const;

export const SELECTION_USAGE =
  "[--app <app>] [--type <event type>] [--reason <reason>] [--since <time>] [--until <time>]";

export const SELECTION_DETAILS = `  --app <app>            only of this app
  --type <event type>    only of this type
  --reason <reason>      only with this reason, such as field_out_of_range
  --since <time>         rejected at this time or later: 2001-02-03T04:00:00Z (UTC unless it says), or 30m, 12h, 7d for so long ago
  --until <time>         rejected before this time`;

export type SelectionValues = { readonly [Name in keyof typeof SELECTION_OPTIONS]?: string };

/** @throws `invalid_argument` for a time that is none. */
export function readSelection(
  { app = "", type = "", reason = "", since, until }: SelectionValues,
  nowMs: number = Date.now(),
) {
  return {
    app,
    type,
    reason,
    ...(since === undefined ? {} : { rejectedFrom: readMomentOrAge("since", since, nowMs) }),
    ...(until === undefined ? {} : { rejectedBefore: readMomentOrAge("until", until, nowMs) }),
  };
}

/** The service that has the rejected events. @throws `failed_precondition` when it is not running. */
export function connectRejected(): RpcClient<typeof RejectedEventService> {
  return connectIngestion(RejectedEventService);
}

/** @throws `invalid_argument` unless it is a rejected event's number. */
export function readId(given: string): bigint {
  if (/^[1-9]\d{0,15}$/.test(given)) return BigInt(given);
  throw new MillraceError(
    "invalid_argument",
    `"${given}" is no rejected event: npm run millrace -- events rejected lists them with their numbers`,
  );
}
