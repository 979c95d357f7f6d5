import type { Database } from "@millrace/db";
import type { PoolClient } from "pg";
import { groupForOutbox, type OutboxBatch, placeEvents, type TraceEvent } from "./batch.ts";
import { BatchQuality } from "./batchQuality.ts";
import type { CheckedEvent, ValidEvent } from "./checkedEvent.ts";
import { findDuplicates } from "./duplicates.ts";
import type { HourQuality } from "./hourQuality.ts";
import { claimIdentities } from "./identity.ts";
import type { Partitions } from "./partitions.ts";
import { countQuality } from "./qualityMetrics.ts";
import { noteQuality } from "./qualityStore.ts";
import { forgetVerdicts, settleReplays } from "./rejectedStore.ts";
import { settlementsOf } from "./replaySettlement.ts";
import { type EventCount, insertEvents, lockHead, type NotAccepted, writeAccount } from "./store.ts";

/** What a stored batch added. */
export interface StoredBatch {
  /** To be published, in log order. */
  readonly outbox: readonly OutboxBatch[];
  readonly accepted: number;
  /** Of them, those that came later than the app's lateness limit. */
  readonly late: number;
  /** Producers' duplicates; a message that the bus delivered again is none. */
  readonly duplicates: readonly NotAccepted[];
  /** What the new events look like. */
  readonly quality: readonly HourQuality[];
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
    if (valid.length === 0 && refused.length === 0)
      return { outbox: [], accepted: 0, late: 0, duplicates: [], quality: [] };
    await this.#partitions.ensure(valid.map(({ occurredAtSeconds }) => occurredAtSeconds));
    // Before the transaction, as if all were new: the log's head is locked for as short as can be.
    const quality = BatchQuality.of(checked);
    const stored = await this.#database.transaction((client) =>
      storeIn(client, checked, { valid, refused, quality }, traceEvent),
    );
    countQuality(stored.quality);
    return stored;
  }
}

/** What is made of a batch before its transaction. */
interface Prepared {
  readonly valid: readonly ValidEvent[];
  readonly refused: readonly NotAccepted[];
  readonly quality: BatchQuality;
}

async function storeIn(
  client: PoolClient,
  checked: readonly CheckedEvent[],
  { valid, refused, quality }: Prepared,
  traceEvent: TraceEvent,
): Promise<StoredBatch> {
  const replayed = checked.filter(({ raw }) => raw.replay !== undefined);
  const head = await lockHead(client, [...new Set(valid.map(({ app }) => app))]);
  if (replayed.length > 0)
    await forgetVerdicts(
      client,
      replayed.map(({ raw }) => raw),
    );
  const outbox: OutboxBatch[] = [];
  const duplicates: NotAccepted[] = [];
  const clocks: { app: string; knownAtMs: number }[] = [];
  /** Log sequences; a valid event's is its place among the valid ones after the head. */
  const added = new Set<number>();
  let accepted = 0;
  const late: (readonly [app: string, type: string])[] = [];
  for (const rows of placeEvents(valid, head, traceEvent)) {
    const fresh = await claimIdentities(client, rows);
    const isNew = (sequence: number): boolean => fresh?.has(sequence) ?? true;
    await insertEvents(client, rows, fresh);
    if (fresh !== undefined) duplicates.push(...(await findDuplicates(client, rows, isNew)));
    for (const sequence of fresh ?? rows.logSequences) added.add(sequence);
    accepted += fresh?.size ?? rows.ids.length;
    for (const index of rows.late) {
      if (isNew(rows.logSequences[index] as number)) late.push([rows.app, rows.types[index] as string]);
    }
    outbox.push(...groupForOutbox(rows, isNew));
    clocks.push({ app: rows.app, knownAtMs: rows.knownAtMs.at(-1) as number });
  }
  outbox.sort((left, right) => left.firstSequence - right.firstSequence);
  const isOld = (index: number): boolean => !added.has(head.logSequence + 1 + index);
  const noted = await noteQuality(client, quality, added.size === valid.length ? undefined : isOld);
  await writeAccount(client, {
    logSequence: head.logSequence + valid.length,
    clocks,
    outbox,
    notAccepted: [...refused, ...duplicates],
    late: countEach(late),
    kept: countEach(
      valid.flatMap(({ app, keptBy }, index) => (keptBy === undefined || isOld(index) ? [] : [[app, keptBy] as const])),
    ),
  });
  if (replayed.length > 0) await settleReplays(client, settlementsOf(replayed, duplicates));
  return { outbox, accepted, late: late.length, duplicates, quality: noted.hours };
}

/** How often each pair is there. */
function countEach(pairs: readonly (readonly [app: string, name: string])[]): EventCount[] {
  const counts = new Map<string, { app: string; name: string; events: number }>();
  for (const [app, name] of pairs) {
    const key = `${app}/${name}`;
    const count = counts.get(key) ?? { app, name, events: 0 };
    count.events += 1;
    counts.set(key, count);
  }
  return [...counts.values()];
}

function notAcceptedOf(event: Exclude<CheckedEvent, ValidEvent>): NotAccepted {
  const { app, type, raw } = event;
  const place = { streamSequence: raw.streamSequence, place: raw.place, app, type };
  return event.kind === "rejected"
    ? { ...place, kind: "rejected", reason: event.violations[0]?.reason ?? "rejected" }
    : { ...place, kind: "dropped", reason: event.rule };
}
