import type { Violation } from "@millrace/runtime";
import { readHeaders } from "./messageHeaders.ts";
import type { RawEvent } from "./rawEvent.ts";

/** A message of the stream REJECTED, as `settle.ts` of @millrace/bus writes it. */
export interface RejectedMessage {
  /** Its sequence in REJECTED. */
  readonly id: number;
  readonly rejectedAtMs: number;
  /** Where it came from, and within a message that held several events which it was. */
  readonly stream: string;
  readonly streamSequence: number;
  readonly place: number;
  readonly subject: string;
  /** As it was sent: its bytes, and its headers without those that say why it was rejected. */
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  /** So many bytes were too many to be kept twice; they are in the stream that it came from. */
  readonly omittedBytes: number;
  readonly description: string;
  /** Of all violations, each once. */
  readonly reasons: readonly string[];
  readonly violations: readonly Violation[];
  /** So many more were too many for the message's headers. */
  readonly omittedViolations: number;
}

/** What the bus gives of a message of REJECTED. */
export interface StoredMessage {
  readonly seq: number;
  readonly data: Uint8Array;
  readonly timeMs: number;
  readonly headers: Iterable<readonly [string, readonly string[]]> | undefined;
}

const OWN = "millrace-";

/** Reads a message of REJECTED; undefined when it does not say where it came from. */
export function readRejected({ seq, data, timeMs, headers }: StoredMessage): RejectedMessage | undefined {
  const about = new Map<string, string>();
  const kept: Record<string, string> = {};
  for (const [name, [value = ""]] of headers ?? []) {
    const lower = name.toLowerCase();
    if (lower.startsWith(OWN)) about.set(lower.slice(OWN.length), value);
    else if (!lower.startsWith("nats-")) kept[name] = value;
  }
  const stream = about.get("stream");
  const subject = about.get("subject");
  const streamSequence = Number(about.get("sequence"));
  if (stream === undefined || subject === undefined || !Number.isSafeInteger(streamSequence)) return undefined;
  const violations = readViolations(about.get("violations"));
  const reasons = about.get("reasons")?.split(",") ?? violations.map(({ reason }) => reason);
  return {
    id: seq,
    rejectedAtMs: timeMs,
    stream,
    streamSequence,
    place: Number(about.get("place") ?? 0) || 0,
    subject,
    data,
    headers: kept,
    omittedBytes: countOf(about.get("omitted-bytes")),
    description: about.get("reason") ?? "",
    reasons: [...new Set(reasons)],
    violations,
    omittedViolations: countOf(about.get("omitted-violations")),
  };
}

/** 0 unless it is a whole number that the database can hold. */
function countOf(text: string | undefined): number {
  const count = Number(text ?? 0);
  return Number.isInteger(count) && count >= 0 && count < 2 ** 31 ? count : 0;
}

/** The event to be tried again. @param data its bytes, where REJECTED does not have them */
export function rawEventAgain(rejected: RejectedMessage, data = rejected.data): RawEvent {
  const headers = Object.entries(rejected.headers).map(([name, value]) => [name, [value]] as const);
  return {
    ...readHeaders(headers),
    subject: rejected.subject,
    data,
    traceparent: "",
    streamSequence: rejected.streamSequence,
    place: rejected.place,
    replay: { rejectedId: rejected.id },
  };
}

function readViolations(json: string | undefined): Violation[] {
  try {
    const read: unknown = JSON.parse(json ?? "[]");
    return Array.isArray(read) ? read.filter(isViolation) : [];
  } catch {
    return [];
  }
}

const isViolation = (value: unknown): value is Violation =>
  typeof value === "object" &&
  value !== null &&
  ["field", "reason", "description"].every((name) => typeof (value as Record<string, unknown>)[name] === "string");
