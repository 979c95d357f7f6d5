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

/** Keys made lately, by the texts of their fields, one level for each. */
interface KnownKeys extends Map<string, KnownKeys | string> {}

/** So many keys are kept; then it begins anew. */
const MAX_KNOWN_KEYS = 50_000;

/**
 * Makes an entity's keys, and remembers them: the same few come again and again, and a text that was made once is found in a map in a
 * quarter of the time that a new one takes.
 */
export class EntityKeys {
  readonly #entity: string;
  readonly #keyFields: readonly string[];
  readonly #known: KnownKeys = new Map();
  #count = 0;

  constructor(entity: string, keyFields: readonly string[]) {
    this.#entity = entity;
    this.#keyFields = keyFields;
  }

  /** As `entityKey`. */
  of(fields: Fields): string | undefined {
    const names = this.#keyFields;
    let known: KnownKeys | string | undefined = this.#known;
    for (let index = 0; index < names.length && known !== undefined; index += 1) {
      const kind: Value["kind"] | undefined = fields[names[index] as string]?.kind;
      if (kind?.case !== "stringValue") return entityKey(this.#entity, names, fields);
      known = (known as KnownKeys).get(kind.value);
    }
    return typeof known === "string" ? known : this.#make(fields);
  }

  /** Makes a key of texts that are all there, but not known together yet. */
  #make(fields: Fields): string | undefined {
    const names = this.#keyFields;
    const key = entityKey(this.#entity, names, fields);
    if (key === undefined || names.length === 0) return key;
    if (this.#count >= MAX_KNOWN_KEYS) {
      this.#known.clear();
      this.#count = 0;
    }
    let level = this.#known;
    for (const name of names.slice(0, -1)) {
      const text = fieldText(fields[name]) as string;
      let next = level.get(text) as KnownKeys | undefined;
      if (next === undefined) {
        next = new Map();
        level.set(text, next);
      }
      level = next;
    }
    level.set(fieldText(fields[names.at(-1) as string]) as string, key);
    this.#count += 1;
    return key;
  }
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
