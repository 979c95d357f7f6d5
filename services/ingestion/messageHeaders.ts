import type { RawEvent } from "./rawEvent.ts";

/** What ingestion reads of a message's headers, whose names may be in upper or lower case. */
export type MessageHeaders = Pick<RawEvent, "contentType" | "traceparent" | "attributes">;

const NONE: MessageHeaders = { contentType: "", traceparent: "" };

/** Of the attributes that every CloudEvent has: one of them in the headers makes a message a CloudEvent in binary mode. */
const REQUIRED = ["specversion", "id", "source", "type"];

/** @param headers names, each with its values */
export function readHeaders(headers: Iterable<readonly [string, readonly string[]]> | undefined): MessageHeaders {
  if (headers === undefined) return NONE;
  let contentType = "";
  let traceparent = "";
  let attributes: Record<string, string> | undefined;
  for (const [header, values] of headers) {
    const name = header.toLowerCase();
    if (name === "content-type") contentType = values[0] ?? "";
    else if (name === "traceparent") traceparent = values[0] ?? "";
    else if (name.startsWith("ce-")) {
      attributes ??= Object.create(null) as Record<string, string>;
      attributes[name.slice(3)] = values[0] ?? "";
    }
  }
  const isCloudEvent = attributes !== undefined && REQUIRED.some((name) => name in (attributes ?? {}));
  return isCloudEvent ? { contentType, traceparent, attributes } : { contentType, traceparent };
}
