import type { Event } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type FieldProposal, proposeField } from "./fieldProposal.ts";
import { FieldSample } from "./fieldSample.ts";

/** Event types and, of all of them together, fields of a sample; others are counted and not looked at. A field takes up to some 8 KiB. */
const MAX_TYPES = 100;
const MAX_FIELDS = 5_000;

/** An entity's key has from 2 different values to a tenth of the events. */
const EVENTS_PER_KEY = 10;

/** What the schema of an event type could be. */
export interface TypeProposal {
  readonly type: string;
  readonly events: number;
  /** In the order in which they were first seen. */
  readonly fields: readonly FieldProposal[];
  /** Fields by which an entity could be known: they are always there, and many events share a value. */
  readonly keys: readonly string[];
}

/** A field by which events of two types could be joined: nearly unique in both. */
export interface JoinProposal {
  readonly field: string;
  readonly types: readonly [string, string];
  /** Of the type with fewer values, about so many are in the other one too; from 0 to 1. */
  readonly shared: number;
}

export interface SchemaProposal {
  /** In alphabetical order. */
  readonly types: readonly TypeProposal[];
  readonly joins: readonly JoinProposal[];
  /** What was beyond the limits, or cannot be in an app file. */
  readonly leftOut: readonly string[];
}

interface TypeSample {
  events: number;
  readonly fields: Map<string, FieldSample>;
}

/** A sample of events, of which only what the proposal needs is kept. */
export class SchemaSample {
  readonly #types = new Map<string, TypeSample>();
  #fields = 0;
  #eventsOfOtherTypes = 0;
  #otherValues = 0;

  /**
   * @param type the event's
   * @param exact whether the event's format says the types of its values, as protobuf does and JSON does not
   */
  add(type: string, { fields }: Pick<Event, "fields">, exact: boolean): void {
    const sample = this.#typeOf(type);
    if (sample === undefined) {
      this.#eventsOfOtherTypes += 1;
      return;
    }
    sample.events += 1;
    for (const [name, value] of Object.entries(fields)) {
      if (value.kind.case === undefined) continue;
      const field = this.#fieldOf(sample, name);
      if (field === undefined) this.#otherValues += 1;
      else field.add(value, exact);
    }
  }

  #typeOf(type: string): TypeSample | undefined {
    const known = this.#types.get(type);
    if (known !== undefined || this.#types.size === MAX_TYPES) return known;
    const sample = { events: 0, fields: new Map<string, FieldSample>() };
    this.#types.set(type, sample);
    return sample;
  }

  #fieldOf({ fields }: TypeSample, name: string): FieldSample | undefined {
    const known = fields.get(name);
    if (known !== undefined || this.#fields === MAX_FIELDS) return known;
    this.#fields += 1;
    const sample = new FieldSample();
    fields.set(name, sample);
    return sample;
  }

  propose(): SchemaProposal {
    const samples = [...this.#types].sort(([left], [right]) => (left < right ? -1 : 1));
    const types = samples
      .filter(([type]) => isTypeName(type))
      .map(([type, { events, fields }]) => proposeType(type, events, fields));
    const leftOut = samples
      .filter(([type]) => !isTypeName(type))
      .map(
        ([type, { events }]) =>
          `${JSON.stringify(type)} (${events} events): a type is small letters, digits and _, in words joined by dots`,
      );
    if (this.#eventsOfOtherTypes > 0) {
      leftOut.push(`${this.#eventsOfOtherTypes} events of further types; only ${MAX_TYPES} types are looked at`);
    }
    if (this.#otherValues > 0) {
      leftOut.push(`${this.#otherValues} values of further fields; only ${MAX_FIELDS} fields are looked at`);
    }
    return { types, joins: this.#joins(types), leftOut };
  }

  #joins(types: readonly TypeProposal[]): JoinProposal[] {
    const found: JoinProposal[] = [];
    for (const [index, { type: left, fields }] of types.entries()) {
      for (const { type: right } of types.slice(index + 1)) {
        for (const { name, field } of fields) {
          const one = this.#types.get(left)?.fields.get(name);
          const other = this.#types.get(right)?.fields.get(name);
          if (field === undefined || one?.isNearlyUnique !== true || other?.isNearlyUnique !== true) continue;
          if (!isKeyKind(one) || !isKeyKind(other)) continue;
          const shared = sharedOf(one, other);
          if (shared > 0) found.push({ field: name, types: [left, right], shared });
        }
      }
    }
    return found;
  }
}

const isTypeName = (type: string): boolean => /^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$/.test(type);

/** Texts or whole numbers. */
const isKeyKind = ({ values, texts, looseTimes, exactIntegers, looseIntegers }: FieldSample): boolean =>
  texts - looseTimes === values || exactIntegers + looseIntegers === values;

/** By inclusion and exclusion; of many values an estimate, in which less than a tenth may be chance. */
function sharedOf(one: FieldSample, other: FieldSample): number {
  const both = one.distinct.clone();
  both.merge(other.distinct);
  const counts = [one.distinct.estimate(), other.distinct.estimate()] as const;
  const shared = (counts[0] + counts[1] - both.estimate()) / Math.min(...counts);
  return shared < 0.1 ? 0 : Math.min(1, shared);
}

function proposeType(type: string, events: number, samples: ReadonlyMap<string, FieldSample>): TypeProposal {
  const fields = [...samples].map(([name, sample]) => proposeField(name, sample, events));
  const keys = fields
    .filter(({ name, field }) => field?.required === true && isKey(samples.get(name) as FieldSample, events))
    .map(({ name }) => name);
  return { type, events, fields, keys };
}

function isKey(sample: FieldSample, events: number): boolean {
  const different = sample.distinct.estimate();
  return isKeyKind(sample) && different >= 2 && different * EVENTS_PER_KEY <= events;
}
