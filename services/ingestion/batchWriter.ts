import type { Database } from "@millrace/db";
import type { PoolClient } from "pg";
import { type AppRows, groupForOutbox, type OutboxBatch, placeEvents, type TraceEvent } from "./batch.ts";
import type { CheckedEvent, ValidEvent } from "./checkedEvent.ts";
import type { Partitions } from "./partitions.ts";
import { findStored, insertEvents, lockHead, type NotAccepted, writeAccount } from "./store.ts";

/** What a stored batch added. */
export interface StoredBatch {
  /** To be published, in log order. */
  readonly outbox: readonly OutboxBatch[];
  readonly accepted: number;
  /** Producers' duplicates; a message that the bus delivered again is none. */
  readonly duplicates: number;
}

/** Stores a batch in one transaction: the event log decides what is new, and the outbox remembers what is to be published. */
export class BatchWriter {
  readonly #database: Database;
  readonly #partitions: Partitions;

  constructor(database: Database, partitions: Partitions) {
    this.#database = database;
    this.#partitions = partitions;
  }

  async store(checked: readonly CheckedEvent[], traceEvent: TraceEvent): Promise<StoredBatch> {
    const valid = checked.filter((event) => event.kind === "valid");
    const refused = checked.filter((event) => event.kind !== "valid").map(notAcceptedOf);
    if (valid.length === 0 && refused.length === 0) return { outbox: [], accepted: 0, duplicates: 0 };
    await this.#partitions.ensure(valid.map(({ occurredAtSeconds }) => occurredAtSeconds));
    return this.#database.transaction((client) => storeIn(client, valid, refused, traceEvent));
  }
}

async function storeIn(
  client: PoolClient,
  valid: readonly ValidEvent[],
  refused: readonly NotAccepted[],
  traceEvent: TraceEvent,
): Promise<StoredBatch> {
  const head = await lockHead(client, [...new Set(valid.map(({ app }) => app))]);
  const outbox: OutboxBatch[] = [];
  const duplicates: NotAccepted[] = [];
  const clocks: { app: string; knownAtMs: number }[] = [];
  let accepted = 0;
  for (const rows of placeEvents(valid, head, traceEvent)) {
    const fresh = await insertEvents(client, rows);
    const isNew = (sequence: number): boolean => fresh === undefined || fresh.has(sequence);
    if (fresh !== undefined) duplicates.push(...(await findDuplicates(client, rows, isNew)));
    accepted += fresh?.size ?? rows.ids.length;
    outbox.push(...groupForOutbox(rows, isNew));
    clocks.push({ app: rows.app, knownAtMs: rows.knownAtMs.at(-1) as number });
  }
  outbox.sort((left, right) => left.firstSequence - right.firstSequence);
  const notAccepted = [...refused, ...duplicates];
  await writeAccount(client, { logSequence: head.logSequence + valid.length, clocks, outbox, notAccepted });
  return { outbox, accepted, duplicates: duplicates.length };
}

/** Those events that another message brought before. */
async function findDuplicates(
  client: PoolClient,
  rows: AppRows,
  isNew: (logSequence: number) => boolean,
): Promise<NotAccepted[]> {
  const known = [...rows.ids.keys()].filter((index) => !isNew(rows.logSequences[index] as number));
  const events = known.map((index) => ({
    id: rows.ids[index] as string,
    occurredAtSeconds: rows.occurredAtSeconds[index] as number,
  }));
  const stored = await findStored(client, rows.app, events);
  return known
    .filter((index, position) => stored[position] !== rows.streamSequences[index])
    .map((index) => ({
      streamSequence: rows.streamSequences[index] as number,
      app: rows.app,
      type: rows.types[index] as string,
      kind: "duplicate",
      reason: "same id",
    }));
}

function notAcceptedOf(event: CheckedEvent): NotAccepted {
  const { app, type, raw } = event;
  const place = { streamSequence: raw.streamSequence, app, type };
  return event.kind === "rejected"
    ? { ...place, kind: "rejected", reason: event.violations[0]?.reason ?? "rejected" }
    : { ...place, kind: "dropped", reason: "noise" };
}
