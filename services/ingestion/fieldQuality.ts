import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { DistinctSketch, hashDouble, hashInteger, hashText } from "@millrace/features";
import type { FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import {
  type FieldQuality as FieldQualityMessage,
  FieldQualitySchema,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { MillraceError } from "@millrace/runtime";

/**
 * What one field looked like in some events: how often it was missing, which rules it broke, and what its values were like. Those of two
 * sets of events can be merged into that of both; but for the rounding of the mean and the squared differences (a relative 1e-9 or
 * less) the result does not depend on how the events were split, nor on their order.
 */
export class FieldQuality {
  readonly name: string;
  readonly type: FieldType;
  events = 0;
  missing = 0;
  readonly violations = new Map<string, number>();
  values = 0;
  zeros = 0;
  // Written so that they are doubles from the beginning: the engine keeps them so.
  min: number = Infinity;
  max: number = -Infinity;
  mean = Number.NaN;
  squaredDifferences = Number.NaN;
  readonly sketch = new DistinctSketch();

  constructor({ name, type }: { readonly name: string; readonly type: FieldType }) {
    this.name = name;
    this.type = type;
  }

  /** Takes an accepted event's value; answers whether there was one. */
  accept(value: Value | undefined): boolean {
    this.events += 1;
    const kind = value?.kind;
    if (kind?.case === undefined) {
      this.missing += 1;
      return false;
    }
    this.#measure(this.#enter(kind));
    return true;
  }

  /** Takes note of a rejected event: what its value was says nothing about those that are let in. */
  refuse(value: Value | undefined): boolean {
    this.events += 1;
    const present = value?.kind?.case !== undefined;
    if (!present) this.missing += 1;
    return present;
  }

  /** Enters a value into the sketch; answers what is measured of it. */
  #enter(kind: Value["kind"]): number {
    switch (kind.case) {
      case "stringValue":
        this.sketch.add(hashText(kind.value));
        return charactersIn(kind.value);
      case "int64Value":
        this.sketch.add(hashInteger(kind.value));
        return Number(kind.value);
      default: {
        const value = numberOf(kind);
        this.sketch.add(hashDouble(value));
        return value;
      }
    }
  }

  /** Welford's way, which does not lose digits where values are large and their differences small (Knuth, TAOCP 2, 4.2.2). */
  #measure(value: number): void {
    this.values += 1;
    if (value === 0) this.zeros += 1;
    if (value < this.min) this.min = value;
    if (value > this.max) this.max = value;
    if (this.values === 1) {
      this.mean = value;
      this.squaredDifferences = 0;
      return;
    }
    const difference = value - this.mean;
    this.mean += difference / this.values;
    this.squaredDifferences += difference * (value - this.mean);
  }

  /** Adds what was seen in other events. The formula is Chan, Golub and LeVeque's (1979). */
  merge(other: FieldQualityMessage): void {
    this.events += Number(other.events);
    this.missing += Number(other.missing);
    addCounts(this.violations, other.violations);
    this.sketch.merge(decodeSketch(other));
    const added = Number(other.values);
    if (added === 0) return;
    this.zeros += Number(other.zeros);
    this.min = Math.min(this.min, other.min ?? Number.NaN);
    this.max = Math.max(this.max, other.max ?? Number.NaN);
    const mean = other.mean ?? Number.NaN;
    const squaredDifferences = other.squaredDifferences ?? Number.NaN;
    const before = this.values;
    this.values += added;
    if (before === 0) {
      this.mean = mean;
      this.squaredDifferences = squaredDifferences;
      return;
    }
    const difference = mean - this.mean;
    this.mean += (difference * added) / this.values;
    this.squaredDifferences += squaredDifferences + difference * difference * ((before * added) / this.values);
  }

  toMessage(): FieldQualityMessage {
    const { name, type, events, missing, values, zeros, min, max, mean, squaredDifferences } = this;
    return create(FieldQualitySchema, {
      name,
      type,
      events: BigInt(events),
      missing: BigInt(missing),
      violations: countsMessage(this.violations),
      values: BigInt(values),
      zeros: BigInt(zeros),
      ...(values > 0 ? { min, max } : {}),
      ...(Number.isFinite(mean) ? { mean } : {}),
      ...(Number.isFinite(squaredDifferences) ? { squaredDifferences } : {}),
      // The estimate may be above what can be.
      distinct: Math.min(values, this.sketch.estimate()),
      distinctSketch: this.sketch.encode(),
    });
  }
}

function numberOf(kind: Value["kind"]): number {
  switch (kind.case) {
    case "doubleValue":
      return kind.value;
    case "boolValue":
      return kind.value ? 1 : 0;
    case "timestampValue":
      return timestampMs(kind.value);
    default:
      return Number.NaN;
  }
}

/** Code points: what a person would call characters. */
function charactersIn(text: string): number {
  let characters = text.length;
  // A pair of surrogates is one; decoded UTF-8 has no single ones.
  for (let index = 0; index < text.length; index += 1)
    if ((text.charCodeAt(index) & 0xfc00) === 0xdc00) characters -= 1;
  return characters;
}

function decodeSketch({ name, distinctSketch }: FieldQualityMessage): DistinctSketch {
  const sketch = DistinctSketch.decode(distinctSketch);
  if (sketch !== undefined) return sketch;
  throw new MillraceError(
    "data_loss",
    `the ${distinctSketch.length} bytes kept for ${name} are no sketch of distinct values`,
  );
}

/** Adds counts by reason to others. */
export function addCounts(counts: Map<string, number>, more: { readonly [reason: string]: bigint }): void {
  for (const [reason, count] of Object.entries(more)) counts.set(reason, (counts.get(reason) ?? 0) + Number(count));
}

/** In alphabetical order, so that the same counts are the same bytes. */
export const countsMessage = (counts: ReadonlyMap<string, number>): Record<string, bigint> =>
  Object.fromEntries(
    [...counts].sort(([left], [right]) => (left < right ? -1 : 1)).map(([reason, count]) => [reason, BigInt(count)]),
  );
