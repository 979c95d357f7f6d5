import { create } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Database } from "@millrace/db";
import {
  CountEventsResponseSchema,
  EventLogService,
  type ReadEventsResponse,
  ReadEventsResponseSchema,
} from "@millrace/proto/millrace/ingestion/v1/event_log_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import type { AppDirectory } from "./appDirectory.ts";
import { countLog, type LogPage, readLog } from "./eventLog.ts";

/** The event log over gRPC. */
export function eventLogService(database: Database, apps: AppDirectory): ImplementedService {
  return implement(EventLogService, {
    async *readEvents({ app, types, knownFrom, knownBefore }, call) {
      await requireApp(apps, app);
      const range = { app, types, knownFromMs: milliseconds(knownFrom), knownBeforeMs: milliseconds(knownBefore) };
      for await (const page of readLog(database, range, call.signal)) yield responseOf(page);
    },
    async countEvents({ app }) {
      await requireApp(apps, app);
      return create(CountEventsResponseSchema, await countLog(database, app));
    },
  });
}

async function requireApp(apps: AppDirectory, app: string): Promise<void> {
  if (apps.get(app) !== undefined) return;
  await apps.refresh(app, Date.now());
  if (apps.get(app) === undefined) {
    throw new MillraceError("not_found", `There is no app ${JSON.stringify(app)}; apply its file first`);
  }
}

/** known_at has whole milliseconds, so a time between two of them means the later. */
const milliseconds = (time: Timestamp | undefined): number | undefined =>
  time === undefined ? undefined : Math.ceil(timestampMs(time));

/**
 * A page is the field's wire format already; as an unknown field it is written as it is, where decoding and encoding each event
 * would take ten times as long.
 */
function responseOf({ bytes }: LogPage): ReadEventsResponse {
  const response = create(ReadEventsResponseSchema);
  response.$unknown = [
    { no: ReadEventsResponseSchema.field.events.number, wireType: WireType.LengthDelimited, data: bytes },
  ];
  return response;
}
