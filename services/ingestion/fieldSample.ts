import { DistinctSketch, hashDouble, hashInteger, hashText } from "@millrace/features";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { TextShape } from "./textShape.ts";
import { parseTime } from "./timeText.ts";

/** Texts are counted one by one up to so many different ones, none of them longer than this. */
const COUNTED_TEXTS = 64;
const LONGEST_COUNTED = 64;

const WHOLE_64 = /^-?\d{1,19}$/;

/**
 * What a field's values looked like, in bounded memory. A value is exact when the format said its type (protobuf), loose when the schema
 * will say it (a JSON number or text).
 */
export class FieldSample {
  values = 0;
  bools = 0;
  timestamps = 0;
  exactIntegers = 0;
  exactDoubles = 0;
  /** JSON numbers; of these, those that INT64 can hold and JSON does not round. */
  looseNumbers = 0;
  looseIntegers = 0;
  exactTexts = 0;
  /** JSON texts; of these, those that are times (RFC 3339), and those that are whole numbers of 64 bits. */
  looseTexts = 0;
  looseTimes = 0;
  textIntegers = 0;
  /** JSON objects and lists. */
  nested = 0;
  /** NaN and infinities, which no rule lets pass. */
  notFinite = 0;
  /** Of all finite numbers. */
  min = Infinity;
  max = -Infinity;
  /** Of the texts that are whole numbers. */
  minTextInteger = Infinity;
  maxTextInteger = -Infinity;
  /** Characters of the longest text. */
  longest = 0;
  readonly distinct = new DistinctSketch();
  readonly shape = new TextShape();
  #counted: Map<string, number> | undefined = new Map();

  /** How often each text came; undefined when there are too many different ones, or long ones. */
  get counted(): ReadonlyMap<string, number> | undefined {
    return this.#counted;
  }

  get texts(): number {
    return this.exactTexts + this.looseTexts;
  }

  /** Whether hardly any value came twice; of few values nothing can be said. */
  get isNearlyUnique(): boolean {
    return this.values >= 20 && this.distinct.estimate() >= 0.9 * this.values;
  }

  add({ kind }: Value, exact: boolean): void {
    if (kind.case === undefined) return;
    this.values += 1;
    switch (kind.case) {
      case "boolValue":
        this.bools += 1;
        this.distinct.add(hashDouble(Number(kind.value)));
        break;
      case "timestampValue":
        this.timestamps += 1;
        this.distinct.add(hashInteger(kind.value.seconds));
        break;
      case "int64Value":
        this.exactIntegers += 1;
        this.distinct.add(hashInteger(kind.value));
        this.#addNumber(Number(kind.value));
        break;
      case "doubleValue":
        this.#addDouble(kind.value, exact);
        break;
      default:
        this.#addText(kind.value, exact);
    }
  }

  #addDouble(value: number, exact: boolean): void {
    if (exact) this.exactDoubles += 1;
    else {
      this.looseNumbers += 1;
      if (Number.isSafeInteger(value)) this.looseIntegers += 1;
    }
    this.distinct.add(hashDouble(value));
    this.#addNumber(value);
  }

  #addNumber(value: number): void {
    if (!Number.isFinite(value)) {
      this.notFinite += 1;
      return;
    }
    this.min = Math.min(this.min, value);
    this.max = Math.max(this.max, value);
  }

  #addText(text: string, exact: boolean): void {
    if (!exact && isNested(text)) {
      this.nested += 1;
      return;
    }
    if (exact) this.exactTexts += 1;
    else {
      this.looseTexts += 1;
      if (parseTime(text) !== undefined) this.looseTimes += 1;
      else if (WHOLE_64.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text)) {
        this.textIntegers += 1;
        this.minTextInteger = Math.min(this.minTextInteger, Number(text));
        this.maxTextInteger = Math.max(this.maxTextInteger, Number(text));
      }
    }
    this.distinct.add(hashText(text));
    if (text.length > this.longest) this.longest = Math.max(this.longest, Array.from(text).length);
    this.shape.add(text);
    this.#count(text);
  }

  #count(text: string): void {
    if (this.#counted === undefined) return;
    const before = this.#counted.get(text);
    const tooMany = before === undefined && this.#counted.size === COUNTED_TEXTS;
    if (tooMany || text.length > LONGEST_COUNTED) this.#counted = undefined;
    else this.#counted.set(text, (before ?? 0) + 1);
  }
}

/** Without a schema, ingestion reads an object or a list as its JSON text. A text that looks the same is treated as one. */
function isNested(text: string): boolean {
  if (text[0] !== "{" && text[0] !== "[") return false;
  try {
    return typeof JSON.parse(text) === "object";
  } catch {
    return false;
  }
}
