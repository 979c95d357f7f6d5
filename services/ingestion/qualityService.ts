import { create } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Database } from "@millrace/db";
import {
  type DataQuality,
  DataQualityService,
  type ListDataQualityRequest,
  ListDataQualityResponseSchema,
} from "@millrace/proto/millrace/ingestion/v1/data_quality_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import type { AppDirectory, IngestedApp } from "./appDirectory.ts";
import { HOUR_MS, HourQuality } from "./hourQuality.ts";
import { findOddities } from "./qualityFindings.ts";
import { addNotedQuality, newestHour, readClocks, readQuality } from "./qualityStore.ts";

const DEFAULT_HOURS = 24;

/** What a request may ask for; the answer has to fit a message. */
const MAX_HOURS = 31 * 24;
const MAX_FIELD_HOURS = 50_000;

/** Data quality over gRPC, up to the event that was stored last. */
export function dataQualityService(database: Database, apps: AppDirectory): ImplementedService {
  return implement(DataQualityService, {
    async listDataQuality(request) {
      const app = await requireApp(apps, request.app);
      const types = typesOf(app, request);
      await addNotedQuality(database);
      const range = await rangeOf(database, request);
      requireSize(app, types, range);
      const stored = await readQuality(database, { app: app.name, types, ...range });
      const hours = stored.map((hour) => only(hour, request.field));
      const totals = totalsOf(hours);
      return create(ListDataQualityResponseSchema, {
        from: timestampFromMs(range.fromMs),
        to: timestampFromMs(range.toMs),
        totals,
        hours: hours.map((hour) => (request.fieldsByHour ? withoutSketches(hour) : { ...hour, fields: [] })),
        findings: totals.flatMap((total) => {
          const schema = app.types.get(total.type)?.schema;
          return schema === undefined ? [] : findOddities(total, schema);
        }),
      });
    },
  });
}

async function requireApp(apps: AppDirectory, name: string): Promise<IngestedApp> {
  if (apps.get(name) === undefined) await apps.refresh(name, Date.now());
  const app = apps.get(name);
  if (app !== undefined) return app;
  throw new MillraceError("not_found", `There is no app ${JSON.stringify(name)}; apply its file first`);
}

/** The event types that are asked for: those that have the field, when one is named. */
function typesOf({ name, types }: IngestedApp, { type, field }: ListDataQualityRequest): string[] {
  if (type !== "" && !types.has(type)) {
    const known = [...types.keys()].sort().join(", ");
    throw new MillraceError("not_found", `${name} has no event ${JSON.stringify(type)}; it has: ${known}`);
  }
  const asked = type === "" ? [...types.keys()].sort() : [type];
  if (field === "") return asked;
  const having = asked.filter((candidate) => fieldsOf(types, candidate).includes(field));
  if (having.length > 0) return having;
  const known = [...new Set(asked.flatMap((candidate) => fieldsOf(types, candidate)))].sort().join(", ");
  const where = type === "" ? `the events of ${name}` : type;
  throw new MillraceError("not_found", `There is no field ${JSON.stringify(field)} in ${where}; there are: ${known}`);
}

const fieldsOf = (types: IngestedApp["types"], type: string): string[] =>
  Object.keys(types.get(type)?.schema.fields ?? {});

interface Range {
  readonly fromMs: number;
  readonly toMs: number;
}

async function rangeOf(database: Database, { app, from, to, hours }: ListDataQualityRequest): Promise<Range> {
  const toMs = to === undefined ? await newestHourEnd(database, app) : milliseconds(to);
  const fromMs = from === undefined ? toMs - (hours || DEFAULT_HOURS) * HOUR_MS : milliseconds(from);
  if (fromMs < toMs) return { fromMs, toMs };
  const text = `from (${new Date(fromMs).toISOString()}) must be before to (${new Date(toMs).toISOString()})`;
  throw new MillraceError("invalid_argument", text);
}

/** The end of the hour that the app's clock is in. It stands still while every event is rejected; then the newest hour counts. */
async function newestHourEnd(database: Database, app: string): Promise<number> {
  const clock = (await readClocks(database)).find((candidate) => candidate.app === app);
  const newestMs = clock?.knownAtMs ?? (await newestHour(database, app)) ?? 0;
  return (Math.floor(newestMs / HOUR_MS) + 1) * HOUR_MS;
}

function milliseconds(time: Timestamp): number {
  const value = timestampMs(time);
  if (Math.abs(value) <= 8.64e15) return value;
  throw new MillraceError("invalid_argument", "from and to must be times from 0001 to 9999");
}

function requireSize({ types }: IngestedApp, asked: readonly string[], { fromMs, toMs }: Range): void {
  const hours = Math.ceil((toMs - fromMs) / HOUR_MS);
  const fieldHours = hours * asked.reduce((sum, type) => sum + fieldsOf(types, type).length + 1, 0);
  if (hours <= MAX_HOURS && fieldHours <= MAX_FIELD_HOURS) return;
  throw new MillraceError(
    "invalid_argument",
    `${hours} hours of ${asked.length} event type(s) are too many at once: ask for ${MAX_HOURS} hours or fewer, or for one type`,
  );
}

const only = (hour: DataQuality, field: string): DataQuality =>
  field === "" ? hour : { ...hour, fields: hour.fields.filter(({ name }) => name === field) };

const withoutSketches = (hour: DataQuality): DataQuality => ({
  ...hour,
  fields: hour.fields.map((field) => ({ ...field, distinctSketch: new Uint8Array() })),
});

/** All hours of a type together; they come by type and time. */
function totalsOf(hours: readonly DataQuality[]): DataQuality[] {
  const totals = new Map<string, HourQuality>();
  for (const hour of hours) {
    let total = totals.get(hour.type);
    if (total === undefined) {
      total = new HourQuality(hour.app, hour.type, hour.hour === undefined ? 0 : timestampMs(hour.hour));
      totals.set(hour.type, total);
    }
    total.merge(hour);
  }
  return [...totals.values()].map((total) => total.toMessage());
}
