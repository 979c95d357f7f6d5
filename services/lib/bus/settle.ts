import type { Violation } from "@millrace/runtime";
import type { JsMsg } from "@nats-io/jetstream";
import type { Bus } from "./connection.ts";
import type { Outcome, RejectedPart } from "./outcome.ts";
import { rejectedSubject } from "./subjects.ts";

/** A message that was delivered this often and still asks for a retry is rejected. */
export const MAX_DELIVERIES = 20;

/** Tells JetStream how the handling of a message ended. */
export async function settle(bus: Bus, stream: string, message: JsMsg, outcome: Outcome): Promise<void> {
  switch (outcome.kind) {
    case "done":
      await publishParts(bus, stream, message, outcome.rejected ?? []);
      message.ack();
      return;
    case "skip":
      message.ack();
      return;
    case "retry":
      if (message.info.deliveryCount < MAX_DELIVERIES) {
        message.nak(outcome.delayMs);
        return;
      }
      await publishRejected(bus, stream, message, {
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

/** Parts of a message on their way at the same time. */
const PARTS_AT_ONCE = 64;

async function publishParts(bus: Bus, stream: string, message: JsMsg, parts: readonly RejectedPart[]): Promise<void> {
  for (let start = 0; start < parts.length; start += PARTS_AT_ONCE) {
    const some = parts.slice(start, start + PARTS_AT_ONCE);
    await Promise.all(some.map((part) => publishRejected(bus, stream, message, part)));
  }
}

/** Room beside the data, for the headers: 12,000 bytes of the message's own, twice 8,000 of why, the reasons' names, and the subject. */
const HEADER_ROOM_BYTES = 32_768;
const OWN_HEADERS_BYTES = 12_000;
const MAX_HEADER_BYTES = 8_000;

/** What is rejected: a part of a message, or all of it. */
type Rejected = Pick<RejectedPart, "reason" | "violations"> & Partial<RejectedPart>;

/**
 * Keeps a message on REJECTED, or a part of it: the bytes as they came, the message's headers, and beside them where it came from
 * (`Millrace-Subject`, `Millrace-Stream`, `Millrace-Sequence`, of a part also `Millrace-Place`), why (`Millrace-Reason`), the reasons of
 * all violations (`Millrace-Reasons`, each once, with commas between them), and which rules it broke (`Millrace-Violations`, a JSON array of
 * field, reason, description, as many as there is room for; `Millrace-Omitted-Violations` says how many more there were). What the broker
 * would not take with these headers is kept without its bytes (`Millrace-Omitted-Bytes` says how many) or without some headers (`Millrace-Omitted-Headers`);
 * its stream has them still.
 */
async function publishRejected(bus: Bus, stream: string, message: JsMsg, rejected: Rejected): Promise<void> {
  const { place, reason, violations, data = message.data } = rejected;
  const headers = ownHeaders(message, rejected.contentType);
  headers["Millrace-Subject"] = message.subject;
  headers["Millrace-Stream"] = stream;
  headers["Millrace-Sequence"] = String(message.seq);
  if (place !== undefined) headers["Millrace-Place"] = String(place);
  headers["Millrace-Reason"] = shortened(reason.replace(/[\r\n]+/g, " "));
  Object.assign(headers, violationHeaders(violations));
  const limit = bus.connection.info?.max_payload ?? Infinity;
  const fits = data.length + HEADER_ROOM_BYTES <= limit;
  if (!fits) headers["Millrace-Omitted-Bytes"] = String(data.length);
  await bus.publishBytes(rejectedSubject(message.subject), fits ? data : new Uint8Array(), {
    id: place === undefined ? `${stream}/${message.seq}` : `${stream}/${message.seq}/${place}`,
    traceparent: "",
    headers,
  });
}

/** A message's own headers, as many as there is room for. Those that tell the broker what to do are none of them. */
function ownHeaders(message: JsMsg, contentType: string | undefined): Record<string, string> {
  const kept: Record<string, string> = contentType === undefined ? {} : { "Content-Type": contentType };
  let bytes = 0;
  let omitted = 0;
  for (const [name, [value = ""]] of message.headers ?? []) {
    const lower = name.toLowerCase();
    if (lower.startsWith("nats-") || (contentType !== undefined && lower === "content-type")) continue;
    const size = Buffer.byteLength(name) + Buffer.byteLength(value) + 4;
    if (bytes + size > OWN_HEADERS_BYTES) omitted += 1;
    else {
      bytes += size;
      kept[name] = value;
    }
  }
  if (omitted > 0) kept["Millrace-Omitted-Headers"] = String(omitted);
  return kept;
}

/** As much of a text as a header holds; one that is cut ends in "…". */
function shortened(text: string): string {
  if (Buffer.byteLength(text) <= MAX_HEADER_BYTES) return text;
  // A character that is cut in two ends as a replacement character, of three bytes like the "…".
  return `${Buffer.from(text).toString("utf8", 0, MAX_HEADER_BYTES - 6)}…`;
}

/** All reasons, and as many violations as a header holds, as valid JSON, whatever the number and length of their texts. */
function violationHeaders(violations: readonly Violation[]): Record<string, string> {
  if (violations.length === 0) return {};
  const items: string[] = [];
  let bytes = 2;
  for (const { field, reason, description } of violations) {
    const item = JSON.stringify({ field: field.slice(0, 300), reason, description: cut(description, 1_000) });
    bytes += Buffer.byteLength(item) + 1;
    if (bytes > MAX_HEADER_BYTES) break;
    items.push(item);
  }
  const omitted = violations.length - items.length;
  return {
    "Millrace-Reasons": [...new Set(violations.map(({ reason }) => reason))].join(","),
    "Millrace-Violations": `[${items.join(",")}]`,
    ...(omitted === 0 ? {} : { "Millrace-Omitted-Violations": String(omitted) }),
  };
}

const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
