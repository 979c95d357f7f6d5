import { type Expression, type RawValue } from "@millrace/app";
import type { Fields } from "./entityKey.ts";

/** Constants of MurmurHash3's 32-bit variant (Austin Appleby, public domain). */
const SPREAD = 0xcc9e2d51 | 0;
const FOLD = 0x1b873593 | 0;

/** Two lanes of 32 bits, of which the first gives the upper bits of a hash and the second the lower. */
let first = 0;
let second = 0;

const rotate = (value: number, bits: number): number => (value << bits) | (value >>> (32 - bits));

function begin(): void {
  first = 0x243f6a88;
  second = 0x13198a2e;
}

function mix(word: number): void {
  const block = Math.imul(rotate(Math.imul(word, SPREAD), 15), FOLD);
  first = (Math.imul(rotate(first ^ block, 13), 5) + (0xe6546b64 | 0)) | 0;
  second = (Math.imul(rotate(second ^ block, 17), 9) + (0x52dce729 | 0)) | 0;
}

/** MurmurHash3's finaliser: every bit of the input changes every bit of the result. */
function finish(lane: number): number {
  let mixed = Math.imul(lane ^ (lane >>> 16), 0x85ebca6b | 0);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35 | 0);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

function end(): number {
  second ^= first;
  return finish(first ^ rotate(second, 7)) * 65_536 + (finish(second) >>> 16);
}

/** 48 bits, as a whole number, from a text's UTF-16 code units. The same in every process, and for ever: stored tiles hold these. */
export function hashText(text: string): number {
  begin();
  for (let index = 0; index < text.length; index += 1) mix(text.charCodeAt(index));
  mix(text.length);
  return end();
}

const eight = new DataView(new ArrayBuffer(8));

/** 48 bits from a double; -0 is 0. */
export function hashDouble(value: number): number {
  eight.setFloat64(0, value + 0, true);
  return hashEight();
}

/** 48 bits from a whole number of 64 bits, none of which is lost. */
export function hashInteger(value: bigint): number {
  eight.setBigInt64(0, value, true);
  return hashEight();
}

function hashEight(): number {
  begin();
  mix(eight.getInt32(0, true));
  mix(eight.getInt32(4, true));
  return end();
}

/** What tells an expression's results apart: 48 bits of each, or undefined when it is missing. */
export function hashOf(expression: Expression): (fields: Fields, occurredAtMs: number) => number | undefined {
  const { raw } = expression;
  return (fields, occurredAtMs) => hashValue(raw(fields, occurredAtMs));
}

function hashValue(value: RawValue): number | undefined {
  switch (typeof value) {
    case "string":
      return hashText(value);
    case "number":
      return Number.isFinite(value) ? hashDouble(value) : undefined;
    case "bigint":
      return hashInteger(value);
    case "boolean":
      return hashDouble(Number(value));
    default:
      return undefined;
  }
}
