import { create } from "@bufbuild/protobuf";
import { type Field, FieldSchema, FieldType, FieldTypeSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import { MAX_FIELD_NAME_LENGTH } from "./eventLimits.ts";
import type { FieldSample } from "./fieldSample.ts";
import { isPrintable, printable } from "./violation.ts";

/** What the schema could say of a field, and why. */
export interface FieldProposal {
  readonly name: string;
  /** Undefined when the schema cannot have it: `evidence` says why, and what to do. */
  readonly field: Field | undefined;
  /** One line, for a person. */
  readonly evidence: string;
}

/** Of fewer events, it is not said that a field is always there. */
const ENOUGH_EVENTS = 20;

/** A text rule by the values themselves: so few, each seen so often, and so many more values than different ones. */
const MOST_ALLOWED = 12;
const FEWEST_OF_EACH = 5;
const VALUES_PER_ALLOWED = 50;
const LONGEST_ALLOWED = 40;

/** Beyond, whole numbers are names rather than amounts, and a rule's limit (a double) is not exact. */
const LARGEST_EXACT = Number.MAX_SAFE_INTEGER;

/** @param events how many events of the type were looked at */
export function proposeField(name: string, sample: FieldSample, events: number): FieldProposal {
  const unnameable = whyUnnameable(name, sample);
  const seen = `${whole(sample.values)} of ${whole(events)}`;
  if (unnameable !== undefined) return { name, field: undefined, evidence: `${seen}; ${unnameable}` };
  if (sample.nested > 0) {
    const count = sample.nested === sample.values ? "" : `${whole(sample.nested)} `;
    const advice =
      "a field that the schema does not name is kept as its JSON text; send its members as fields to use them";
    return { name, field: undefined, evidence: `${seen}; ${count}objects or lists: ${advice}` };
  }
  const [type, fitting] = typeOf(sample);
  if (fitting < sample.values) {
    const advice = `${whole(sample.values - fitting)} would be rejected; make producers send one type, or leave the field out`;
    const evidence = `${seen}; MIXED TYPES: ${kindsOf(sample)}; as ${typeName(type)}, ${advice}`;
    return { name, field: create(FieldSchema, { type }), evidence: [evidence, ...notFinite(type, sample)].join("; ") };
  }
  const required = sample.values === events && events >= ENOUGH_EVENTS;
  const rules = rulesOf(type, sample);
  const field = create(FieldSchema, { type, required, ...rules });
  return { name, field, evidence: [seen, ...describe(type, sample, rules)].join("; ") };
}

/** As an app file has it: `STRING`. */
export const typeName = (type: FieldType): string => FieldTypeSchema.value[type]?.localName ?? "";

function whyUnnameable(name: string, { values }: FieldSample): string | undefined {
  if (name === "" || name.length > MAX_FIELD_NAME_LENGTH || !isPrintable(name)) {
    const rule = `a name has 1 to ${MAX_FIELD_NAME_LENGTH} characters and no control characters`;
    return `${whole(values)} would be rejected, for ${rule}: producers have to rename it`;
  }
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(name)) {
    return "a name in the schema has small letters, digits and _, and begins with a letter: producers would have to rename it";
  }
  const isReserved = name === "occurred_at" || name === "constructor";
  return isReserved ? "the name is reserved: producers would have to rename it" : undefined;
}

/** The first type that all values can have; or the one that most can have. With how many can. */
function typeOf(sample: FieldSample): readonly [FieldType, number] {
  const { values, exactIntegers, looseIntegers, exactTexts, looseTexts, looseTimes } = sample;
  const numbers = exactIntegers + looseIntegers;
  const candidates: readonly (readonly [FieldType, number])[] = [
    [FieldType.BOOL, sample.bools],
    [FieldType.TIMESTAMP, sample.timestamps + looseTimes],
    // Texts that are whole numbers go with numbers, as integers beyond 2^53 do in JSON. Alone they are codes.
    [FieldType.INT64, numbers === 0 ? 0 : numbers + sample.textIntegers],
    [FieldType.DOUBLE, sample.exactDoubles + sample.looseNumbers],
    [FieldType.STRING, exactTexts + looseTexts],
  ];
  const fitting = candidates.find(([, count]) => count === values);
  return fitting ?? candidates.reduce((best, candidate) => (candidate[1] > best[1] ? candidate : best));
}

function kindsOf(sample: FieldSample): string {
  const kinds: readonly (readonly [number, string])[] = [
    [sample.bools, "true or false"],
    [sample.timestamps, "times"],
    [sample.exactIntegers, "INT64"],
    [sample.exactDoubles, "DOUBLE"],
    [sample.looseIntegers, "whole numbers"],
    [sample.looseNumbers - sample.looseIntegers, "other numbers"],
    [sample.texts, "texts"],
  ];
  return kinds
    .filter(([count]) => count > 0)
    .map(([count, kind]) => `${whole(count)} ${kind}`)
    .join(", ");
}

type Rules = Partial<Pick<Field, "min" | "max" | "allowed" | "pattern" | "maxLength">>;

function rulesOf(type: FieldType, sample: FieldSample): Rules {
  switch (type) {
    case FieldType.INT64:
    case FieldType.DOUBLE:
      return rangeOf(sample, type === FieldType.INT64);
    case FieldType.STRING: {
      const allowed = allowedOf(sample);
      if (allowed !== undefined) return { allowed };
      const pattern = sample.shape.pattern(sample.distinct.estimate());
      return pattern === undefined ? { maxLength: roomFor(sample.longest) } : { pattern };
    }
    default:
      return {};
  }
}

/**
 * Limits outside of what was seen: further away by a quarter of the range, or of the limit itself when that is more (of fewer than 1,000
 * values: by the whole), rounded outwards to two digits. What was never negative stays so, what was never positive too. Whole numbers
 * that nearly all differ may count up, and have no upper limit.
 */
function rangeOf(sample: FieldSample, isWhole: boolean): Rules {
  const low = Math.min(sample.min, sample.minTextInteger);
  const high = Math.max(sample.max, sample.maxTextInteger);
  if (low > high || low < -LARGEST_EXACT || high > LARGEST_EXACT) return {};
  const share = sample.values >= 1_000 ? 0.25 : 1;
  const room = (limit: number): number => share * Math.max(high - low, Math.abs(limit));
  const min = low >= 0 ? 0 : -roundUp(-(low - room(low)), isWhole);
  const countsUp = isWhole && sample.isNearlyUnique;
  const max = high > 0 ? roundUp(high + room(high), isWhole) : 0;
  // All zero says nothing of how large it may become.
  const hasMax = !countsUp && (low < 0 || high > 0);
  return { min, ...(hasMax ? { max } : {}) };
}

/** The next number with two digits, and without decimals when it is to be whole. @param value above 0 */
export function roundUp(value: number, isWhole = false): number {
  const exponent = Math.floor(Math.log10(value)) - 1;
  if (isWhole && exponent < 0) return Math.ceil(value);
  // As text: 10 to a negative power has no exact double.
  const rounded = Number(value.toPrecision(2));
  return rounded >= value ? rounded : Number((rounded + 10 ** exponent).toPrecision(2));
}

function allowedOf({ counted, texts }: FieldSample): string[] | undefined {
  if (counted === undefined || counted.size < 2 || counted.size > MOST_ALLOWED) return undefined;
  if (texts < VALUES_PER_ALLOWED * counted.size) return undefined;
  const areNames = [...counted].every(
    ([text, count]) =>
      count >= FEWEST_OF_EACH && text.length > 0 && text.length <= LONGEST_ALLOWED && isPrintable(text),
  );
  return areNames ? [...counted.keys()].sort() : undefined;
}

/** 16, 32, 64 and so on: twice as long as the longest, or longer. */
function roomFor(longest: number): number {
  let length = 16;
  while (length < 2 * longest) length *= 2;
  return length;
}

function describe(type: FieldType, sample: FieldSample, rules: Rules): string[] {
  const said: string[] = [];
  if (type !== FieldType.BOOL) said.push(differentOf(sample));
  if (type === FieldType.STRING) {
    const example = exampleOf(sample, rules);
    if (example !== undefined) said[0] += `, e.g. ${example}`;
    const pattern = rules.allowed === undefined ? undefined : sample.shape.pattern(sample.distinct.estimate());
    if (pattern !== undefined) said.push(`should others come: pattern ${JSON.stringify(pattern)}`);
  } else if (rules.min !== undefined && !sample.isNearlyUnique) {
    const low = Math.min(sample.min, sample.minTextInteger);
    const high = Math.max(sample.max, sample.maxTextInteger);
    said.push(low === high ? `always ${low}` : `${low} to ${high}`);
  }
  if (type === FieldType.INT64 && sample.exactIntegers === 0) said.push("all whole: DOUBLE if it may have decimals");
  return [...said, ...notFinite(type, sample)];
}

/** NaN and infinities have the type, and no rule lets them pass. */
function notFinite(type: FieldType, sample: FieldSample): string[] {
  if (type !== FieldType.DOUBLE || sample.notFinite === 0) return [];
  return [`${whole(sample.notFinite)} NOT FINITE: these are rejected`];
}

function differentOf(sample: FieldSample): string {
  const different = sample.distinct.estimate();
  if (different === 1) return "always the same";
  if (sample.isNearlyUnique) return "nearly all different";
  return different <= 128 ? `${different} different` : `about ${whole(Number(different.toPrecision(2)))} different`;
}

/** Only a text that many events share is shown: one that few share may say something of a person. */
function exampleOf(sample: FieldSample, { pattern }: Rules): string | undefined {
  if (pattern === undefined || sample.distinct.estimate() > sample.values / 10) return undefined;
  const example = sample.shape.example;
  return example === undefined ? undefined : JSON.stringify(printable(example));
}

const whole = (value: number): string => value.toLocaleString("en-US");
