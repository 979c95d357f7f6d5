const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;

/**
 * Cuts a JSON array into its elements' bytes, as they came: a bad element spoils no other, and none is written anew, which would lose
 * digits of its numbers. Looks at quotes and brackets only; the elements are still to be parsed.
 *
 * @returns undefined when the bytes are not an array
 */
export function splitJsonArray(bytes: Uint8Array): Uint8Array[] | undefined {
  let at = skipSpace(bytes, 0);
  if (bytes[at] !== 0x5b) return undefined;
  const elements: Uint8Array[] = [];
  let start = at + 1;
  let depth = 0;
  let quoted = false;
  for (; at < bytes.length; at += 1) {
    const byte = bytes[at];
    if (quoted) {
      if (byte === BACKSLASH) at += 1;
      else if (byte === QUOTE) quoted = false;
    } else if (byte === QUOTE) quoted = true;
    else if (byte === 0x5b || byte === 0x7b) depth += 1;
    else if (byte === COMMA && depth === 1) {
      elements.push(trim(bytes.subarray(start, at)));
      start = at + 1;
    } else if (byte === 0x5d || byte === 0x7d) {
      depth -= 1;
      if (depth === 0) break;
    }
  }
  const ended = bytes[at] === 0x5d && skipSpace(bytes, at + 1) === bytes.length;
  if (!ended) return undefined;
  const last = trim(bytes.subarray(start, at));
  if (last.length > 0 || elements.length > 0) elements.push(last);
  return elements;
}

const isSpace = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

function skipSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (isSpace(bytes[at])) at += 1;
  return at;
}

function trim(bytes: Uint8Array): Uint8Array {
  let end = bytes.length;
  while (end > 0 && isSpace(bytes[end - 1])) end -= 1;
  return bytes.subarray(Math.min(skipSpace(bytes, 0), end), end);
}
