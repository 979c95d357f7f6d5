import type { Violation } from "@millrace/runtime";
import { type Data, type FindSchema, isJson, parseJson, type ReadCloudEvent, readCloudEvent } from "./cloudEvents.ts";
import type { RawEvent } from "./rawEvent.ts";
import { show, violation } from "./violation.ts";

/**
 * Reads a CloudEvent in binary mode: its attributes are headers that begin with `ce-`, its data is the message
 * (https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md, §3.1). The data is JSON: as
 * `ce-datacontenttype` says, or else `Content-Type`, or else by default.
 */
export function readBinary(raw: RawEvent, app: string, findSchema: FindSchema): ReadCloudEvent {
  const violations: Violation[] = [];
  const attributes: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(raw.attributes ?? {})) {
    const decoded = decodeHeader(String(value));
    if (decoded === undefined) {
      const description = `must be percent-encoded UTF-8, not ${show(value)}`;
      violations.push(violation(name, "malformed", description));
    } else attributes[name] = decoded;
  }
  const read = readCloudEvent(attributes, dataOf(raw, attributes), app, findSchema);
  // An attribute that cannot be decoded is there all the same.
  const known = new Set(violations.map(({ field }) => field));
  return { ...read, violations: [...violations, ...read.violations.filter(({ field }) => !known.has(field))] };
}

function dataOf({ data, contentType }: RawEvent, attributes: Readonly<Record<string, unknown>>): Data {
  if (attributes.datacontenttype === undefined && contentType !== "" && !isJson(contentType)) {
    const description = `a CloudEvent's data must be JSON (application/json), not ${show(contentType)}`;
    return { violation: violation("content-type", "unsupported_content_type", description) };
  }
  if (data.length === 0) return { value: undefined };
  const json = parseJson(data);
  return "violation" in json ? { violation: { ...json.violation, field: "data" } } : json;
}

/** A header's value: without the quotes that it may stand in (RFC 7230 §3.2.6), and percent-decoded once. */
function decodeHeader(value: string): string | undefined {
  const quoted = value.length >= 2 && value.startsWith('"') && value.endsWith('"');
  const text = quoted ? value.slice(1, -1).replace(/\\(.)/g, "$1") : value;
  // A percent sign that begins no code is one that somebody did not encode.
  if (!/%[0-9A-Fa-f]{2}/.test(text)) return text;
  try {
    return decodeURIComponent(text.replace(/%(?![0-9A-Fa-f]{2})/g, "%25"));
  } catch {
    return undefined;
  }
}
