import assert from "node:assert/strict";
import { test } from "node:test";
import { compilePattern } from "@millrace/app";
import { TextShape } from "./textShape.ts";

function patternOf(texts: readonly string[]): string | undefined {
  const shape = new TextShape();
  for (const text of texts) shape.add(text);
  return shape.pattern(new Set(texts).size);
}

/** So many texts, each from its number. */
const texts = (count: number, of: (index: number) => string): string[] =>
  Array.from({ length: count }, (_, index) => of(index));

const letters = (index: number, first: number, length: number): string =>
  texts(length, (place) => String.fromCharCode(first + (Math.floor(index / 26 ** place) % 26))).join("");
const upper = (index: number, length: number): string => letters(index, 65, length);
const lower = (index: number, length: number): string => letters(index, 97, length);
const digits = (index: number, length: number): string => String(index).padStart(length, "0");

/** Digits of a hash: any, but the same in every run. */
const hex = (index: number, length: number): string =>
  texts(length, (place) =>
    ((((index + 1) * 2_654_435_761 + place * 40_503 * (index + 7)) % 65_521) % 16).toString(16),
  ).join("");

const CASES: Readonly<Record<string, readonly [texts: readonly string[], expected: string | undefined]>> = {
  "codes of one length": [texts(100, (index) => upper(index * 7, 3)), "^[A-Z]{3}$"],
  "a code of one letter": [texts(100, (index) => upper(index, 1)), "^[A-Z]$"],
  "parts of different lengths": [
    texts(200, (index) => `${upper(index % 5, 2)}-${(index * 37) % 150}`),
    "^[A-Z]{2}-[0-9]{1,4}$",
  ],
  "numbers that are filled up": [texts(100, (index) => `ORD-${digits(index, 6)}`), "^[A-Z]{3}-[0-9]{6}$"],
  "numbers that count up": [texts(100, (index) => `F${index + 100}`), "^[A-Z][0-9]{1,4}$"],
  "numbers that count up and are about to get another digit": [
    texts(100, (index) => `F${index + 9_000}`),
    "^[A-Z][0-9]{1,8}$",
  ],
  "numbers that come again": [texts(100, (index) => `F${(index % 50) + 100}`), "^[A-Z][0-9]{3}$"],
  days: [
    texts(100, (index) => `2001-0${(index % 9) + 1}-${digits((index % 28) + 1, 2)}`),
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
  ],
  "characters that mean something to a pattern": [
    texts(50, (index) => `v${digits(index % 10, 1)}.${digits(index % 7, 1)}(${upper(index, 1)})`),
    "^[a-z][0-9]\\.[0-9]\\([A-Z]\\)$",
  ],
  "postal codes": [texts(100, (index) => digits(index * 731, 5)), "^[0-9]{5}$"],
  UUIDs: [
    texts(100, (index) => [8, 4, 4, 4, 12].map((length, part) => hex(index * 5 + part, length)).join("-")),
    "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
  ],
  "letters and digits in any order": [
    texts(60, (index) => (index % 2 === 0 ? `${upper(index, 1)}${index % 10}` : `${index % 10}${upper(index, 1)}`)),
    "^[A-Z0-9]{2}$",
  ],
  "letters in upper and lower case": [
    texts(60, (index) => (index % 2 === 0 ? `${upper(index, 2)}${lower(index, 4)}` : lower(index, 6))),
    "^[A-Za-z]{6}$",
  ],
  words: [texts(100, (index) => lower(index, 3 + (index % 6))), undefined],
  "a few words of one length": [texts(100, (index) => ["late", "soon", "gone"][index % 3] as string), undefined],
  "many small codes of one length": [texts(100, (index) => lower(index, 4)), "^[a-z]{4}$"],
  "names of people": [
    texts(100, (index) => `${upper(index, 1)}${lower(index, 4)} ${upper(index, 1)}${lower(index, 6)}`),
    undefined,
  ],
  "letters beyond A to Z": [texts(100, (index) => `${upper(index, 2)}ü`), undefined],
  "an empty text among others": [[...texts(100, (index) => upper(index, 3)), ""], undefined],
  "too few": [texts(19, (index) => upper(index, 3)), undefined],
  "one that is different": [[...texts(100, (index) => upper(index, 3)), "n/a"], undefined],
  "very long ones": [texts(100, (index) => digits(index, 129)), undefined],
};

for (const [name, [given, expected]] of Object.entries(CASES)) {
  test(`the shape of texts: ${name}`, () => {
    assert.equal(patternOf(given), expected);
    assert.equal(patternOf(given.toReversed()), expected, "in whatever order they come");
    if (expected === undefined) return;
    const matches = compilePattern(expected);
    for (const text of given) assert.ok(matches(text), text);
  });
}
