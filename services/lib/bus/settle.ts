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

/**
 * Keeps a message on REJECTED: its bytes and headers as they came, and beside them where it came from
 * (`Millrace-Subject`, `Millrace-Stream`, `Millrace-Sequence`), why (`Millrace-Reason`) and which rules it broke
 * (`Millrace-Violations`, a JSON array of field, reason, description).
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
  if (violations.length > 0) kept.set("Millrace-Violations", headerSafe(JSON.stringify(violations)));
  await bus.jetstream.publish(rejectedSubject(message.subject), message.data, {
    msgID: `${stream}/${message.seq}`,
    headers: kept,
  });
}

/** Header values are one line, and not long. */
function headerSafe(text: string): string {
  return text.replace(/[\r\n]+/g, " ").slice(0, 8_000);
}
