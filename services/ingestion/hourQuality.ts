import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { EventType, FieldType } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { Event } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import { type DataQuality, DataQualitySchema } from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import type { Violation } from "@millrace/runtime";
import { addCounts, countsMessage, FieldQuality } from "./fieldQuality.ts";

export const HOUR_MS = 3_600_000;

/** How a violation names a field of the event. */
const FIELD_PREFIX = "fields.";

/** What the events of one type looked like in one hour of event time, or in several when they are merged. */
export class HourQuality {
  readonly app: string;
  readonly type: string;
  /** When the hour, or the first of them, begins. */
  readonly hourMs: number;
  accepted = 0;
  rejected = 0;
  unknownValues = 0;
  readonly violations = new Map<string, number>();
  #fields: FieldQuality[];

  /** @param fields of the schema */
  constructor(app: string, type: string, hourMs: number, fields: EventType["fields"] = {}) {
    this.app = app;
    this.type = type;
    this.hourMs = hourMs;
    this.#fields = Object.entries(fields)
      .map(([name, field]) => new FieldQuality({ name, type: field.type }))
      .sort(byName);
  }

  get fields(): readonly FieldQuality[] {
    return this.#fields;
  }

  /** Takes an event of the log. */
  accept({ fields }: Event): void {
    this.accepted += 1;
    let known = 0;
    for (const field of this.#fields) if (field.accept(fields[field.name])) known += 1;
    this.unknownValues += valuesIn(fields) - known;
  }

  /** Takes a rejected event, with everything that was wrong with it. */
  refuse({ fields }: Event, violations: readonly Violation[]): void {
    this.rejected += 1;
    let known = 0;
    for (const field of this.#fields) if (field.refuse(fields[field.name])) known += 1;
    this.unknownValues += valuesIn(fields) - known;
    for (const { field: path, reason } of violations) {
      const name = path.startsWith(FIELD_PREFIX) ? path.slice(FIELD_PREFIX.length) : undefined;
      const counts = this.#fields.find((field) => field.name === name)?.violations ?? this.violations;
      counts.set(reason, (counts.get(reason) ?? 0) + 1);
    }
  }

  /** Adds what was seen in other events of the same type. */
  merge(other: DataQuality): void {
    this.accepted += Number(other.accepted);
    this.rejected += Number(other.rejected);
    this.unknownValues += Number(other.unknownValues);
    addCounts(this.violations, other.violations);
    for (const field of other.fields) this.#field(field).merge(field);
  }

  /** A field that a newer version of the schema brought is counted from then on. */
  #field(named: { readonly name: string; readonly type: FieldType }): FieldQuality {
    const known = this.#fields.find(({ name }) => name === named.name);
    if (known !== undefined) return known;
    const added = new FieldQuality(named);
    this.#fields = [...this.#fields, added].sort(byName);
    return added;
  }

  toMessage(revision = 0n): DataQuality {
    return create(DataQualitySchema, {
      app: this.app,
      type: this.type,
      hour: timestampFromMs(this.hourMs),
      revision,
      accepted: BigInt(this.accepted),
      rejected: BigInt(this.rejected),
      violations: countsMessage(this.violations),
      fields: this.#fields.map((field) => field.toMessage()),
      unknownValues: BigInt(this.unknownValues),
    });
  }
}

const byName = (left: FieldQuality, right: FieldQuality): number => (left.name < right.name ? -1 : 1);

function valuesIn(fields: Event["fields"]): number {
  let values = 0;
  for (const name in fields) if (fields[name]?.kind.case !== undefined) values += 1;
  return values;
}
