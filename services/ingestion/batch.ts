import { AcceptedEncoder, encodeBatch, encodeCompleteBefore } from "./acceptedEncoding.ts";
import type { ValidEvent } from "./checkedEvent.ts";
import { partitionOf } from "./partitioning.ts";

/** Where the log stands before a batch: its last sequence, and each app's clock in milliseconds. */
export interface LogHead {
  readonly logSequence: number;
  readonly clocks: ReadonlyMap<string, number>;
}

/** The valid events of one app in a batch, in the columns in which they are stored; index i of each is the same event. */
export interface AppRows {
  readonly app: string;
  readonly ids: string[];
  readonly types: string[];
  readonly occurredAtSeconds: number[];
  readonly knownAtMs: number[];
  readonly logSequences: number[];
  readonly streamSequences: number[];
  /** Within the message. */
  readonly places: number[];
  /** Indices of those that came late. */
  readonly late: number[];
  /** Sized AcceptedEvents one after the other, and where each begins and how long it is. */
  bytes: Buffer;
  readonly offsets: number[];
  readonly lengths: number[];
  readonly partitions: number;
}

/** Events of one type and partition, published as one message. */
export interface OutboxBatch {
  /** `<app>/<type>/<partition>/<first sequence>`. */
  readonly batchId: string;
  readonly app: string;
  readonly type: string;
  readonly partition: number;
  readonly partitions: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly events: number;
  /** An encoded AcceptedEvents. */
  readonly payload: Buffer;
}

/** Makes the span of a sampled event, and answers its traceparent. */
export type TraceEvent = (event: ValidEvent) => string;

/** A published batch is at most this large; NATS takes 1 MiB by default. */
const MAX_PAYLOAD_BYTES = 700 * 1_024;

/**
 * Gives each event its place in the log and the time at which it was known: max(occurred_at, the app's clock), so that it grows
 * with the place.
 */
export function placeEvents(events: readonly ValidEvent[], head: LogHead, traceEvent: TraceEvent): AppRows[] {
  const rowsOf = new Map<string, { rows: AppRows; encoder: AcceptedEncoder; clock: number }>();
  let sequence = head.logSequence;
  for (const event of events) {
    let entry = rowsOf.get(event.app);
    if (entry === undefined) {
      entry = { rows: emptyRows(event), encoder: new AcceptedEncoder(), clock: head.clocks.get(event.app) ?? 0 };
      rowsOf.set(event.app, entry);
    }
    const { rows, encoder } = entry;
    sequence += 1;
    const occurredAtMs = event.occurredAtSeconds * 1_000 + Math.ceil(event.occurredAtNanos / 1e6);
    const late = entry.clock - occurredAtMs > event.settings.latenessMs;
    entry.clock = Math.max(entry.clock, occurredAtMs);
    const offset = encoder.length;
    encoder.write(event.bytes, entry.clock, sequence, traceEvent(event), late);
    rows.ids.push(event.id);
    rows.types.push(event.type);
    rows.occurredAtSeconds.push(event.occurredAtSeconds + event.occurredAtNanos / 1e9);
    rows.knownAtMs.push(entry.clock);
    rows.logSequences.push(sequence);
    rows.streamSequences.push(event.raw.streamSequence);
    rows.places.push(event.raw.place);
    if (late) rows.late.push(rows.ids.length - 1);
    rows.offsets.push(offset);
    rows.lengths.push(encoder.length - offset);
  }
  return [...rowsOf.values()].map(({ rows, encoder }) => {
    rows.bytes = encoder.bytes;
    return rows;
  });
}

function emptyRows({ app, settings }: ValidEvent): AppRows {
  return {
    app,
    ids: [],
    types: [],
    occurredAtSeconds: [],
    knownAtMs: [],
    logSequences: [],
    streamSequences: [],
    places: [],
    late: [],
    bytes: Buffer.alloc(0),
    offsets: [],
    lengths: [],
    partitions: settings.partitions,
  };
}

/** Groups the rows that are new by type and partition, in log order, into messages of a size that the bus takes. */
export function groupForOutbox(rows: AppRows, isNew: (logSequence: number) => boolean): OutboxBatch[] {
  const open = new Map<string, { indices: number[]; bytes: number }>();
  const batches: OutboxBatch[] = [];
  for (let index = 0; index < rows.ids.length; index += 1) {
    if (!isNew(rows.logSequences[index] as number)) continue;
    const partition = partitionOf(rows.ids[index] as string, rows.partitions);
    const key = `${rows.types[index]}/${partition}`;
    const length = (rows.lengths[index] as number) + 1;
    let group = open.get(key);
    if (group !== undefined && group.bytes + length > MAX_PAYLOAD_BYTES) {
      batches.push(outboxBatch(rows, group.indices));
      group = undefined;
    }
    if (group === undefined) {
      group = { indices: [], bytes: 0 };
      open.set(key, group);
    }
    group.indices.push(index);
    group.bytes += length;
  }
  for (const { indices } of open.values()) batches.push(outboxBatch(rows, indices));
  return closed(
    batches.sort((left, right) => left.firstSequence - right.firstSequence),
    rows.knownAtMs.at(-1) as number,
  );
}

/** Tells in the last batch that the transaction ends with it: what comes later is known at `clockMs` or after. */
function closed(batches: OutboxBatch[], clockMs: number): OutboxBatch[] {
  const last = batches.pop();
  if (last === undefined) return batches;
  return [...batches, { ...last, payload: Buffer.concat([last.payload, encodeCompleteBefore(clockMs)]) }];
}

function outboxBatch(rows: AppRows, indices: readonly number[]): OutboxBatch {
  const first = indices[0] as number;
  const last = indices.at(-1) as number;
  const { app, partitions } = rows;
  const type = rows.types[first] as string;
  const partition = partitionOf(rows.ids[first] as string, partitions);
  const firstSequence = rows.logSequences[first] as number;
  const batchId = `${app}/${type}/${partition}/${firstSequence}`;
  const sized = indices.map((index) => {
    const offset = rows.offsets[index] as number;
    return rows.bytes.subarray(offset, offset + (rows.lengths[index] as number));
  });
  return {
    batchId,
    app,
    type,
    partition,
    partitions,
    firstSequence,
    lastSequence: rows.logSequences[last] as number,
    events: indices.length,
    payload: encodeBatch(batchId, sized),
  };
}
