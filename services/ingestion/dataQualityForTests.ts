import assert from "node:assert/strict";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { parseApp } from "@millrace/app";
import { AppVersionSchema } from "@millrace/proto/millrace/app/v1/app_pb.ts";
import type { Event, Value } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import {
  type DataQuality,
  DataQualityAdditionSchema,
  type ListDataQualityRequestSchema,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { silentLogger } from "@millrace/runtime";
import { AppDirectory } from "./appDirectory.ts";
import { HOUR_MS, HourQuality } from "./hourQuality.ts";
import { APP, FLIGHTS, START_MS, scheduled, type TestIngestion } from "./ingestionForTests.ts";
import { QualityPublisher } from "./qualityPublisher.ts";

export const TYPE = "flight.scheduled";
export const SCHEMA = parseApp(FLIGHTS).events[TYPE]?.fields ?? {};

/** An event at a minute after the start. */
export const at = (minute: number, fields: Record<string, Value> = {}): Event =>
  scheduled({ occurredAt: timestampFromMs(START_MS + minute * 60_000) }, fields);

/** What is exact of it: all but the revision and the rounded mean and squared differences. */
export const exact = (quality: DataQuality) => ({
  ...quality,
  revision: 0n,
  fields: quality.fields.map((field) => ({
    ...field,
    mean: 0,
    squaredDifferences: 0,
    distinctSketch: Uint8Array.from(field.distinctSketch),
  })),
});

export const READ_ALL: MessageInitShape<typeof ListDataQualityRequestSchema> = {
  from: timestampFromMs(START_MS - 24 * HOUR_MS),
  to: timestampFromMs(START_MS + 20 * 24 * HOUR_MS),
  fieldsByHour: true,
};

export interface Told {
  readonly event: Event;
  /** Of the rule that it breaks: the field and the reason. */
  readonly broken?: readonly [field: string, reason: string];
}

/** What the events, each counted once, should have made of their hours, straight from the definition. */
export function expected(told: readonly Told[]): DataQuality[] {
  const hours = new Map<number, HourQuality>();
  for (const { event, broken } of told) {
    const hourMs = Math.floor(timestampMs(event.occurredAt ?? timestampFromMs(0)) / HOUR_MS) * HOUR_MS;
    const hour = hours.get(hourMs) ?? new HourQuality(APP, TYPE, hourMs, SCHEMA);
    hours.set(hourMs, hour);
    if (broken === undefined) hour.accept(event);
    else hour.refuse(event, [{ field: broken[0], reason: broken[1], description: "" }]);
  }
  return [...hours.values()].sort((left, right) => left.hourMs - right.hourMs).map((hour) => hour.toMessage());
}

export const withoutSketches = (quality: DataQuality): DataQuality => ({
  ...quality,
  fields: quality.fields.map((field) => ({ ...field, distinctSketch: new Uint8Array() })),
});

export async function assertHours(ingestion: TestIngestion, told: readonly Told[]): Promise<void> {
  const { hours } = await ingestion.quality(READ_ALL);
  const model = expected(told).map(withoutSketches).map(exact);
  assert.deepEqual(hours.map(exact), model);
}

/** Publishes as the service does, without waiting long. */
export function startPublisher(ingestion: TestIngestion, againMs = 100): QualityPublisher {
  const apps = new AppDirectory(() => Promise.resolve(undefined));
  apps.adopt(create(AppVersionSchema, { version: 1, app: parseApp(FLIGHTS) }));
  return new QualityPublisher(ingestion.bus, ingestion.database, apps, silentLogger, { intervalMs: 20, againMs });
}

/** Notes events as a stored batch does. */
export async function note({ database }: TestIngestion, told: readonly Told[]): Promise<void> {
  const addition = create(DataQualityAdditionSchema, { hours: expected(told) });
  await database.query({
    text: "INSERT INTO quality_addition (hours) VALUES ($1)",
    values: [Buffer.from(toBinary(DataQualityAdditionSchema, addition))],
  });
}
