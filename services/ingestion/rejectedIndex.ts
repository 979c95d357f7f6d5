import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Bus, done, type JsMsg, type RunningConsumer } from "@millrace/bus";
import type { Database } from "@millrace/db";
import type { AppDirectory } from "./appDirectory.ts";
import { readMessage } from "./eventReader.ts";
import { type RejectedMessage, rawEventAgain, readRejected } from "./rejectedMessage.ts";
import { deleteRejectedBefore, insertRejected, type RejectedRow } from "./rejectedStore.ts";

/** What a message of REJECTED that is no event says of itself. */
const UNREADABLE = { eventId: "", occurredAtMs: undefined };

/**
 * Keeps the index of REJECTED, by which rejected events are found: whoever rejected them, each once. The bytes stay in the stream; what
 * that has forgotten, the index forgets at the start and with whatever comes next.
 */
export async function indexRejected(
  bus: Bus,
  database: Database,
  apps: AppDirectory,
  onFailure: (error: unknown) => void,
): Promise<RunningConsumer> {
  await forgetOld(bus, database);
  return bus.consume({
    stream: "REJECTED",
    durable: "ingestion-rejected",
    filter: "rejected.>",
    maxBatch: 500,
    onFailure,
    handle: async (messages) => {
      const rejected = messages.map(readJetStream).filter((message) => message !== undefined);
      await insertRejected(
        database,
        rejected.map((message) => rowOf(message, apps)),
      );
      await forgetOld(bus, database);
      return done();
    },
  });
}

async function forgetOld(bus: Bus, database: Database): Promise<void> {
  const { state } = await bus.manager.streams.info("REJECTED");
  await deleteRejectedBefore(database, state.first_seq);
}

const readJetStream = (message: JsMsg): RejectedMessage | undefined =>
  readRejected({
    seq: message.seq,
    data: message.data,
    // Whole: rows are shown, and selected, to the millisecond.
    timeMs: Math.floor(message.info.timestampNanos / 1e6),
    headers: message.headers,
  });

function rowOf(rejected: RejectedMessage, apps: AppDirectory): Omit<RejectedRow, "state" | "replays"> {
  const {
    id,
    stream,
    streamSequence,
    place,
    subject,
    rejectedAtMs,
    reasons,
    violations,
    omittedViolations,
    description,
  } = rejected;
  const [, app = "", ...rest] = subject.split(".");
  const isEvent = stream === "EVENTS";
  return {
    id,
    stream,
    streamSequence,
    place,
    subject,
    app,
    type: isEvent ? rest.join(".") : "",
    ...(isEvent ? identityOf(rejected, apps) : UNREADABLE),
    rejectedAtMs,
    reasons: reasons.length > 0 ? reasons : ["given_up"],
    violations,
    omittedViolations,
    description,
  };
}

/** What can be read of an event although it was rejected. */
function identityOf(rejected: RejectedMessage, apps: AppDirectory): Pick<RejectedRow, "eventId" | "occurredAtMs"> {
  const [, app = ""] = rejected.subject.split(".");
  const findType = (type: string) => apps.get(app)?.types.get(type)?.schema;
  const [received, ...others] = readMessage(rawEventAgain(rejected), app, findType);
  if (received?.event === undefined || others.length > 0) return UNREADABLE;
  const { id, occurredAt } = received.event;
  const occurredAtMs = occurredAt === undefined ? undefined : timestampMs(occurredAt);
  return { eventId: id.slice(0, 256), occurredAtMs: isTime(occurredAtMs) ? occurredAtMs : undefined };
}

const isTime = (ms: number | undefined): boolean => ms !== undefined && Math.abs(ms) < 8.64e15;
