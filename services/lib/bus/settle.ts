import type { Violation } from "@millrace/runtime";
import type { JsMsg } from "@nats-io/jetstream";
import { headers } from "@nats-io/transport-node";
import type { Bus } from "./connection.ts";
import type { Outcome } from "./outcome.ts";
import { rejectedSubject } from "./subjects.ts";

/** A message that was delivered this often and still asks for a retry is rejected. */
export const MAX_DELIVERIES = 20;

/** Tells JetStream how the handling of a message ended. */
export async function settle(bus: Bus, stream: string, message: JsMsg, outcome: Outcome): Promise<void> {
  switch (outcome.kind) {
    case "done":
    case "skip":
      message.ack();
      return;
    case "retry":
      if (message.info.deliveryCount < MAX_DELIVERIES) {
        message.nak(outcome.delayMs);
        return;
      }
      await publishRejected(bus, stream, message, {
        kind: "reject",
        reason: `given up after ${MAX_DELIVERIES} deliveries: ${outcome.reason}`,
        violations: [],
      });
      message.term();
      return;
    case "reject":
      await publishRejected(bus, stream, message, outcome);
      message.term();
  }
}

/** Room for a message's own headers beside its data. */
const HEADER_ROOM_BYTES = 32_768;

/**
 * Keeps a message on REJECTED: its bytes and headers as they came, and beside them where it came from
 * (`Millrace-Subject`, `Millrace-Stream`, `Millrace-Sequence`), why (`Millrace-Reason`) and which rules it broke
 * (`Millrace-Violations`, a JSON array of field, reason, description). A message so large that the broker would not take it with
 * these headers is kept without its bytes (`Millrace-Omitted-Bytes` says how many); its stream has them still.
 */
async function publishRejected(
  bus: Bus,
  stream: string,
  message: JsMsg,
  { reason, violations }: Extract<Outcome, { kind: "reject" }>,
): Promise<void> {
  const kept = headers();
  if (message.headers !== undefined) {
    for (const key of message.headers.keys()) {
      if (!key.toLowerCase().startsWith("nats-")) kept.set(key, message.headers.get(key));
    }
  }
  kept.set("Millrace-Subject", message.subject);
  kept.set("Millrace-Stream", stream);
  kept.set("Millrace-Sequence", String(message.seq));
  kept.set("Millrace-Reason", headerSafe(reason));
  if (violations.length > 0) kept.set("Millrace-Violations", violationsJson(violations));
  const limit = bus.connection.info?.max_payload ?? Infinity;
  const fits = message.data.length + HEADER_ROOM_BYTES <= limit;
  if (!fits) kept.set("Millrace-Omitted-Bytes", String(message.data.length));
  await bus.jetstream.publish(rejectedSubject(message.subject), fits ? message.data : new Uint8Array(), {
    msgID: `${stream}/${message.seq}`,
    headers: kept,
  });
}

/** Longest header value. */
const MAX_HEADER_LENGTH = 8_000;

/** Header values are one line, and not long. */
function headerSafe(text: string): string {
  return text.replace(/[\r\n]+/g, " ").slice(0, MAX_HEADER_LENGTH);
}

/** As many violations as a header holds, as valid JSON, whatever the number and length of their texts. */
function violationsJson(violations: readonly Violation[]): string {
  const items: string[] = [];
  let length = 2;
  for (const { field, reason, description } of violations) {
    const item = JSON.stringify({ field: field.slice(0, 300), reason, description: description.slice(0, 1_000) });
    length += item.length + 1;
    if (length > MAX_HEADER_LENGTH) break;
    items.push(item);
  }
  return `[${items.join(",")}]`;
}
