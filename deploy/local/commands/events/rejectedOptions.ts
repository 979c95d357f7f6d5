import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { RejectedEventService } from "@millrace/proto/millrace/ingestion/v1/rejected_event_pb.ts";
import { connectRpc, type RpcClient } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { readEndpoints } from "../../endpoints.ts";
import { defaultHome, Home } from "../../home.ts";

const text = { type: "string" } as const;

/** The options that select rejected events. */
export const SELECTION_OPTIONS = { app: text, type: text, reason: text, since: text, until: text } as const;

export const SELECTION_USAGE =
  "[--app <app>] [--type <event type>] [--reason <reason>] [--since <time>] [--until <time>]";

export const SELECTION_DETAILS = `  --app <app>            only of this app
  --type <event type>    only of this type
  --reason <reason>      only with this reason, such as field_out_of_range
  --since <time>         rejected at this time or later: 2001-02-03T04:00:00Z, or 30m, 12h, 7d for so long ago
  --until <time>         rejected before this time`;

export type SelectionValues = { readonly [Name in keyof typeof SELECTION_OPTIONS]?: string };

/** @throws `invalid_argument` for a time that is none. */
export function readSelection({ app = "", type = "", reason = "", since, until }: SelectionValues) {
  const rejectedFrom = readTime("since", since);
  const rejectedBefore = readTime("until", until);
  return {
    app,
    type,
    reason,
    ...(rejectedFrom === undefined ? {} : { rejectedFrom }),
    ...(rejectedBefore === undefined ? {} : { rejectedBefore }),
  };
}

/** The service that has the rejected events. @throws `failed_precondition` when it is not running. */
export function connectRejected(): RpcClient<typeof RejectedEventService> {
  const address = readEndpoints(new Home(defaultHome())).grpc.ingestion;
  if (address === undefined) throw new MillraceError("failed_precondition", "The service ingestion is not running");
  return connectRpc(RejectedEventService, address);
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

function readTime(option: string, given: string | undefined): Timestamp | undefined {
  if (given === undefined) return undefined;
  const [, count, unit = ""] = /^(\d+)([smhd])$/.exec(given) ?? [];
  const ms = count === undefined ? Date.parse(given) : Date.now() - Number(count) * (UNIT_MS[unit] as number);
  if (!Number.isNaN(ms)) return timestampFromMs(ms);
  throw new MillraceError(
    "invalid_argument",
    `--${option} must be a time such as 2001-02-03T04:00:00Z, or how long ago, such as 12h, not "${given}"`,
  );
}

/** @throws `invalid_argument` unless it is a rejected event's number. */
export function readId(given: string): bigint {
  if (/^[1-9]\d{0,15}$/.test(given)) return BigInt(given);
  throw new MillraceError(
    "invalid_argument",
    `"${given}" is no rejected event: npm run millrace -- events rejected lists them with their numbers`,
  );
}
