import { create, toJsonString } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EventSchema } from "@millrace/proto/millrace/event/v1/event_pb.ts";
import {
  type GetRejectedEventResponse,
  GetRejectedEventResponseSchema,
  ListRejectedEventsResponseSchema,
  type RejectedEvent,
  RejectedEventSchema,
  type RejectedEventSelection,
  RejectedEventService,
  RejectedEventState,
  ReplayRejectedEventsResponseSchema,
} from "@millrace/proto/millrace/ingestion/v1/rejected_event_pb.ts";
import { type ImplementedService, implement } from "@millrace/rpc";
import { MillraceError } from "@millrace/runtime";
import { readMessage } from "./eventReader.ts";
import { type RejectedMessage, rawEventAgain } from "./rejectedMessage.ts";
import {
  countRejected,
  listRejected,
  type RejectedFilter,
  type RejectedRow,
  type RejectedState,
  readRejectedRows,
} from "./rejectedStore.ts";
import { fetchRejected, type ReplayParts, type ReplayProgress, replayRejected } from "./replay.ts";

const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 1_000;
/** Ids of one request: the others are selected. */
const MAX_IDS = 10_000;

const STATES: Readonly<Record<RejectedState, RejectedEventState>> = {
  rejected: RejectedEventState.REJECTED,
  accepted: RejectedEventState.ACCEPTED,
  duplicate: RejectedEventState.DUPLICATE,
  dropped: RejectedEventState.DROPPED,
};

/** Rejected events over gRPC: lists, one, and another try. */
export function rejectedEventService(parts: ReplayParts): ImplementedService {
  const { bus, database, apps } = parts;
  return implement(RejectedEventService, {
    async listRejectedEvents({ selection, state, pageSize, pageToken }) {
      const filter = filterOf(selection, stateOf(state));
      const limit = Math.min(pageSize || DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE);
      const [rows, counts] = await Promise.all([
        listRejected(database, filter, { belowId: readPageToken(pageToken), limit }),
        countRejected(database, filter),
      ]);
      const nextPageToken = rows.length === limit ? String(rows.at(-1)?.id) : "";
      return create(ListRejectedEventsResponseSchema, { events: rows.map(messageOf), nextPageToken, counts });
    },
    async getRejectedEvent({ id }) {
      const [row] = await readRejectedRows(database, [Number(id)]);
      if (row === undefined) {
        throw new MillraceError(
          "not_found",
          `There is no rejected event ${id}; ListRejectedEvents tells which there are`,
        );
      }
      const response = create(GetRejectedEventResponseSchema, {
        event: messageOf(row),
        violations: [...row.violations],
        omittedViolations: row.omittedViolations,
      });
      const rejected = await fetchRejected(bus, row.id);
      if (rejected === undefined) return { ...response, missing: "REJECTED has its bytes no more" };
      return { ...response, ...contentOf(rejected, (app, type) => apps.get(app)?.types.get(type)?.schema) };
    },
    async *replayRejectedEvents({ selection, ids, dryRun }, call) {
      if (ids.length > MAX_IDS) {
        throw new MillraceError(
          "invalid_argument",
          `ids: at most ${MAX_IDS}, not ${ids.length}; use a selection instead`,
        );
      }
      const request = { filter: filterOf(selection, "rejected"), ids: ids.map(Number), dryRun };
      for await (const progress of replayRejected(request, parts, call.signal)) yield progressOf(progress);
    },
  });
}

type FindSchema = (app: string, type: string) => ReturnType<Parameters<typeof readMessage>[2]>;

function contentOf(rejected: RejectedMessage, findSchema: FindSchema): Partial<GetRejectedEventResponse> {
  const { data, headers, omittedBytes, subject } = rejected;
  if (omittedBytes > 0) {
    const missing = `${omittedBytes} bytes are too many to be kept twice; message ${rejected.streamSequence} of ${rejected.stream} has them`;
    return { headers: { ...headers }, missing };
  }
  const [, app = ""] = subject.split(".");
  const [received] =
    rejected.stream === "EVENTS" ? readMessage(rawEventAgain(rejected), app, (type) => findSchema(app, type)) : [];
  const json = received?.event === undefined ? "" : jsonOf(received.event);
  return { headers: { ...headers }, data, json };
}

/** Some of what bytes can say, such as a time beyond year 9999, JSON cannot. */
function jsonOf(event: Parameters<typeof toJsonString<typeof EventSchema>>[1]): string {
  try {
    return toJsonString(EventSchema, event, { prettySpaces: 2 });
  } catch {
    return "";
  }
}

const filterOf = (selection: RejectedEventSelection | undefined, state: RejectedState): RejectedFilter => ({
  app: selection?.app ?? "",
  type: selection?.type ?? "",
  reason: selection?.reason ?? "",
  fromMs: milliseconds("selection.rejected_from", selection?.rejectedFrom),
  beforeMs: milliseconds("selection.rejected_before", selection?.rejectedBefore),
  state,
});

function stateOf(state: RejectedEventState): RejectedState {
  if (state === RejectedEventState.UNSPECIFIED) return "rejected";
  const known = Object.entries(STATES).find(([, value]) => value === state);
  if (known !== undefined) return known[0] as RejectedState;
  throw new MillraceError("invalid_argument", `state: ${state} is none; there are: ${Object.keys(STATES).join(", ")}`);
}

function milliseconds(field: string, time: Timestamp | undefined): number | undefined {
  if (time === undefined) return undefined;
  // A time between two milliseconds means the later.
  const value = Number(time.seconds) * 1_000 + Math.ceil(time.nanos / 1e6);
  if (Math.abs(value) <= 8.64e15) return value;
  throw new MillraceError("invalid_argument", `${field} must be a time from 0001 to 9999`);
}

function readPageToken(token: string): number {
  if (token === "") return Number.MAX_SAFE_INTEGER;
  const id = Number(token);
  if (Number.isSafeInteger(id) && id > 0) return id;
  throw new MillraceError(
    "invalid_argument",
    `page_token: ${JSON.stringify(token.slice(0, 80))} is none; use next_page_token of the page before`,
  );
}

const messageOf = (row: RejectedRow): RejectedEvent =>
  create(RejectedEventSchema, {
    id: BigInt(row.id),
    stream: row.stream,
    streamSequence: BigInt(row.streamSequence),
    place: row.place,
    subject: row.subject,
    app: row.app,
    type: row.type,
    eventId: row.eventId,
    ...(row.occurredAtMs === undefined ? {} : { occurredAt: timestampFromMs(row.occurredAtMs) }),
    rejectedAt: timestampFromMs(row.rejectedAtMs),
    reasons: [...row.reasons],
    description: row.description,
    state: STATES[row.state],
    replays: row.replays,
  });

const progressOf = (progress: ReplayProgress) =>
  create(ReplayRejectedEventsResponseSchema, {
    selected: BigInt(progress.selected),
    replayed: BigInt(progress.replayed),
    accepted: BigInt(progress.accepted),
    duplicates: BigInt(progress.duplicates),
    dropped: BigInt(progress.dropped),
    rejectedAgain: BigInt(progress.rejectedAgain),
    skipped: bigints(progress.skipped),
    reasons: bigints(progress.reasons),
  });

const bigints = (counts: ReadonlyMap<string, number>): Record<string, bigint> =>
  Object.fromEntries([...counts].map(([key, count]) => [key, BigInt(count)]));
