import { create, toBinary } from "@bufbuild/protobuf";
import { DataQualityAdditionSchema } from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import type { IngestedApp } from "./appDirectory.ts";
import type { CheckedEvent, RejectedEvent, ValidEvent } from "./checkedEvent.ts";
import { HOUR_MS, HourQuality } from "./hourQuality.ts";

/** What is wrong with these leaves open which type or hour an event belongs to; a stranger's clock must not make hours. */
const ATTRIBUTES = new Set(["app", "type", "occurred_at", "time"]);

/** What the events of a batch look like, by type and hour, as if each came for the first time. */
export class BatchQuality {
  readonly valid: readonly ValidEvent[];
  /** Rejected events whose app, type and hour are known. A replay that fails again says nothing new. */
  readonly rejected: readonly RejectedEvent[];
  readonly hours: readonly HourQuality[];

  constructor(valid: readonly ValidEvent[], rejected: readonly RejectedEvent[]) {
    this.valid = valid;
    this.rejected = rejected;
    this.hours = summarise(valid, rejected);
  }

  static of(checked: readonly CheckedEvent[]): BatchQuality {
    return new BatchQuality(
      checked.filter((event) => event.kind === "valid"),
      checked.filter((event) => event.kind === "rejected").filter(isAttributable),
    );
  }

  /** The same without the events that came before. */
  without(isOldValid: (index: number) => boolean, isOldRejected: (index: number) => boolean): BatchQuality {
    const valid = this.valid.filter((_, index) => !isOldValid(index));
    const rejected = this.rejected.filter((_, index) => !isOldRejected(index));
    const unchanged = valid.length === this.valid.length && rejected.length === this.rejected.length;
    return unchanged ? this : new BatchQuality(valid, rejected);
  }

  encode(): Uint8Array {
    const hours = this.hours.map((hour) => hour.toMessage());
    return toBinary(DataQualityAdditionSchema, create(DataQualityAdditionSchema, { hours }));
  }
}

function isAttributable({ raw, event, settings, type, occurredAtMs, violations }: RejectedEvent): boolean {
  if (raw.replay !== undefined || event === undefined || occurredAtMs === undefined) return false;
  if (settings?.types.get(type) === undefined) return false;
  return !violations.some(({ field }) => ATTRIBUTES.has(field));
}

function summarise(valid: readonly ValidEvent[], rejected: readonly RejectedEvent[]): HourQuality[] {
  const hours = new Hours();
  for (const { settings, type, occurredAtSeconds, event } of valid) {
    hours.get(settings, type, Math.floor(occurredAtSeconds / 3_600)).accept(event);
  }
  for (const { settings, type, occurredAtMs, event, violations } of rejected) {
    // They are there: the event is attributable.
    const hour = Math.floor((occurredAtMs as number) / HOUR_MS);
    hours.get(settings as IngestedApp, type, hour).refuse(event as ValidEvent["event"], violations);
  }
  return hours.all;
}

/** Hours by app version, type and time. */
class Hours {
  readonly all: HourQuality[] = [];
  readonly #byApp = new Map<IngestedApp, Map<string, Map<number, HourQuality>>>();

  /** @param hour in hours since 1970 */
  get(settings: IngestedApp, type: string, hour: number): HourQuality {
    const known = this.#byApp.get(settings)?.get(type)?.get(hour);
    if (known !== undefined) return known;
    const byType = this.#byApp.get(settings) ?? new Map<string, Map<number, HourQuality>>();
    const byHour = byType.get(type) ?? new Map<number, HourQuality>();
    const added = new HourQuality(settings.name, type, hour * HOUR_MS, settings.types.get(type)?.schema.fields);
    this.#byApp.set(settings, byType.set(type, byHour.set(hour, added)));
    this.all.push(added);
    return added;
  }
}
