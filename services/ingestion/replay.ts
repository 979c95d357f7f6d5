import type { Bus } from "@millrace/bus";
import type { Database } from "@millrace/db";
import { checkAll, type IngestParts, storeBatch } from "./ingest.ts";
import type { RawEvent } from "./rawEvent.ts";
import { type RejectedMessage, rawEventAgain, readRejected } from "./rejectedMessage.ts";
import { chooseRejected, type RejectedFilter, type RejectedRow, readRejectedRows } from "./rejectedStore.ts";
import { settlementsOf } from "./replaySettlement.ts";

/** Which rejected events to try again: those with these ids that are still rejected, or all that the filter selects. */
export interface ReplayRequest {
  readonly filter: RejectedFilter;
  readonly ids: readonly number[];
  /** Only check what would become of them. */
  readonly dryRun: boolean;
}

/** What has become of the events so far. */
export interface ReplayProgress {
  readonly selected: number;
  replayed: number;
  accepted: number;
  duplicates: number;
  dropped: number;
  rejectedAgain: number;
  /** Not tried, by why. */
  readonly skipped: Map<string, number>;
  /** First reasons of those that were rejected again. */
  readonly reasons: Map<string, number>;
}

export interface ReplayParts extends IngestParts {
  readonly bus: Bus;
  readonly database: Database;
}

const BATCH = 500;
const LAST_ID = Number.MAX_SAFE_INTEGER;

/**
 * Tries rejected events again, in the order in which they came: checks them by the app as it is now, and stores those that pass as any
 * other event, known from now on. What became of each is noted in the transaction that stores it, so that a replay that is cut off, or
 * done twice, takes each in once.
 */
export async function* replayRejected(
  { filter, ids, dryRun }: ReplayRequest,
  parts: ReplayParts,
  signal: AbortSignal,
): AsyncGenerator<ReplayProgress> {
  const chosen = ids.length > 0 ? await stillRejected(parts.database, ids) : undefined;
  const everything =
    chosen ?? (await chooseRejected(parts.database, filter, { aboveId: 0, upToId: LAST_ID, limit: MAX_SELECTED }));
  const progress: ReplayProgress = {
    selected: everything.length,
    replayed: 0,
    accepted: 0,
    duplicates: 0,
    dropped: 0,
    rejectedAgain: 0,
    skipped: new Map(),
    reasons: new Map(),
  };
  yield progress;
  for (let start = 0; start < everything.length && !signal.aborted; start += BATCH) {
    const rows = await readRejectedRows(parts.database, everything.slice(start, start + BATCH));
    rows.sort((left, right) => left.id - right.id);
    const raw = await fetchEvents(rows, parts.bus, progress);
    await replayBatch(raw, parts, dryRun, progress);
    progress.replayed += rows.length;
    yield progress;
  }
}

/** Of one replay; the next one takes the rest. */
const MAX_SELECTED = 1_000_000;

async function stillRejected(database: Database, ids: readonly number[]): Promise<number[]> {
  const rows = await readRejectedRows(database, ids);
  return rows
    .filter(({ state }) => state === "rejected")
    .map(({ id }) => id)
    .sort((left, right) => left - right);
}

async function replayBatch(
  raw: readonly RawEvent[],
  parts: ReplayParts,
  dryRun: boolean,
  progress: ReplayProgress,
): Promise<void> {
  const messages = await checkAll(raw, parts);
  const duplicates = dryRun ? [] : await storeBatch(messages, parts);
  for (const { state, violations } of settlementsOf(messages.flat(), duplicates)) {
    if (state === "accepted") progress.accepted += 1;
    else if (state === "duplicate") progress.duplicates += 1;
    else if (state === "dropped") progress.dropped += 1;
    else {
      progress.rejectedAgain += 1;
      add(progress.reasons, violations[0]?.reason ?? "");
    }
  }
}

/** The rejected events as they were sent; those that cannot be had are counted as skipped. */
async function fetchEvents(rows: readonly RejectedRow[], bus: Bus, progress: ReplayProgress): Promise<RawEvent[]> {
  const fetched = await Promise.all(
    rows.map(async (row) => {
      if (row.stream !== "EVENTS") return `not an event, but a message of ${row.stream}`;
      const rejected = await fetchRejected(bus, row.id);
      if (rejected === undefined) return "REJECTED has it no more";
      if (rejected.omittedBytes === 0) return rawEventAgain(rejected);
      const data = await fetchOriginal(bus, rejected);
      return data === undefined
        ? "too large to be kept twice, and EVENTS has it no more"
        : rawEventAgain(rejected, data);
    }),
  );
  return fetched.filter((event) => {
    if (typeof event === "string") add(progress.skipped, event);
    return typeof event !== "string";
  });
}

/** A message of REJECTED; undefined when it is there no more. */
export async function fetchRejected(bus: Bus, id: number): Promise<RejectedMessage | undefined> {
  const stored = await bus.manager.direct.getMessage("REJECTED", { seq: id });
  if (stored === null) return undefined;
  const { seq, data, time, header } = stored;
  return readRejected({ seq, data, timeMs: time.getTime(), headers: header });
}

async function fetchOriginal(
  bus: Bus,
  { streamSequence, place, subject }: RejectedMessage,
): Promise<Uint8Array | undefined> {
  // A part of a message is never larger than an event may be, so it is here whole.
  if (place !== 0) return undefined;
  const stored = await bus.manager.direct.getMessage("EVENTS", { seq: streamSequence });
  return stored?.subject === subject ? stored.data : undefined;
}

const add = (counts: Map<string, number>, key: string): void => {
  counts.set(key, (counts.get(key) ?? 0) + 1);
};
