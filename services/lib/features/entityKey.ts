import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";

export type Fields = { readonly [name: string]: Value };

const PLAIN = /^[A-Za-z0-9_-]+$/;

/**
 * The KV key of the entity that these fields identify, `<entity>.<part>.<part>`, or undefined when one of them is missing. Parts keep
 * letters, digits, `_` and `-`; every other byte of their UTF-8 form becomes `=` and two hex digits, and an empty part `=`: so
 * different keys never meet.
 */
export function entityKey(entity: string, keyFields: readonly string[], fields: Fields): string | undefined {
  let key = entity;
  for (const name of keyFields) {
    const part = fieldText(fields[name]);
    if (part === undefined) return undefined;
    key += PLAIN.test(part) ? `.${part}` : `.${escape(part)}`;
  }
  return key;
}

/** A field as one text, by which keys and joins compare; undefined when it is missing. */
export function fieldText(value: Value | undefined): string | undefined {
  const kind = value?.kind;
  switch (kind?.case) {
    case "stringValue":
      return kind.value;
    case "doubleValue":
    case "int64Value":
    case "boolValue":
      return String(kind.value);
    case "timestampValue":
      return String(timestampMs(kind.value));
    default:
      return undefined;
  }
}

const encoder = new TextEncoder();

function escape(part: string): string {
  if (part === "") return "=";
  let result = "";
  for (const byte of encoder.encode(part)) {
    const character = String.fromCharCode(byte);
    result += PLAIN.test(character) ? character : `=${byte.toString(16).padStart(2, "0").toUpperCase()}`;
  }
  return result;
}
