import type { App } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { keyText } from "./prediction.ts";
import { inShare } from "./stableShare.ts";

/** The share that is held out of decisions, when a request's entity belongs to it; undefined when it does not. */
export type HeldOut = (fields: Readonly<Record<string, Value>>) => number | undefined;

/**
 * Which entities an app holds out of decisions, so that the truth about them is seen: always the same, and others than those that a canary
 * answers. Undefined for an app that holds out none.
 */
export function compileHoldOut({ app, label, serving }: App): HeldOut | undefined {
  const share = label?.holdOut ?? 0;
  const field = serving?.canaryBy || label?.join;
  if (share === 0 || field === undefined) return undefined;
  return (fields) => (inShare(`${app} hold_out`, keyText(fields[field]), share * 100) ? share : undefined);
}
