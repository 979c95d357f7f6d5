import type { Bus } from "@millrace/bus";
import { rawEventOf } from "./consumer.ts";
import type { RawEvent } from "./rawEvent.ts";

/** Which messages of EVENTS. */
export interface MessageSelection {
  readonly app: string;
  /** Empty means every type. */
  readonly type: string;
}

/** What was read so far. */
export interface ReadMessages {
  /** Those that are selected and were not handed over before, the newest first; none while a stretch is being read. */
  readonly messages: readonly RawEvent[];
  /** All that were looked at. */
  readonly looked: number;
}

/** The whole search. A filtered consumer would find them without help, but nats-server 2.9 has it search its blocks for each message. */
const LONGEST_MS = 15_000;
const MOST_LOOKED_AT = 1_000_000;

const SHORTEST_STRETCH = 1_000;
/** A search that is cut off within a stretch has its older messages and not its newer ones. */
const LONGEST_STRETCH = 10_000;

/** Of a stretch, which is read forwards, so that its newest messages come last. */
const MOST_HELD_BYTES = 64 << 20;

/** Messages asked for ahead; one may hold up to 8 MB. */
const AHEAD = 200;
const BATCH = 500;

/** How many messages of EVENTS are selected. */
export async function countMessages(bus: Bus, selection: MessageSelection): Promise<number> {
  const { state } = await bus.manager.streams.info("EVENTS", { subjects_filter: filterOf(selection) });
  return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
}

/**
 * Reads the newest messages of an app: stretches of the whole stream, one before the other, beginning at the app's last message. Ends at
 * the stream's beginning, when all are found, after 1,000,000 messages or 15 seconds; the caller ends it earlier.
 *
 * @param count how many there are, as `countMessages` says
 * @param wanted at most so many of a stretch are handed over
 */
export async function* newestMessages(
  bus: Bus,
  selection: MessageSelection,
  { count, wanted, signal }: { count: number; wanted: number; signal: AbortSignal },
): AsyncGenerator<ReadMessages> {
  const isSelected = selectorOf(selection);
  const [{ state }, newest] = await Promise.all([
    bus.manager.streams.info("EVENTS"),
    bus.manager.streams.getMessage("EVENTS", { last_by_subj: filterOf(selection) }),
  ]);
  const ended = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_MS)]);
  let end = newest?.seq ?? 0;
  let length = Math.max(SHORTEST_STRETCH, Math.min(wanted, LONGEST_STRETCH));
  let looked = 0;
  let found = 0;
  while (end >= state.first_seq && found < count && looked < MOST_LOOKED_AT && !ended.aborted) {
    const start = Math.max(state.first_seq, end - length + 1);
    const held = new HeldMessages(wanted);
    for await (const batch of readStretch(bus, start, end, ended)) {
      for (const message of batch) if (isSelected(message.subject)) held.add(message);
      looked += batch.length;
      yield { messages: [], looked };
    }
    found += held.messages.length;
    yield { messages: held.messages.toReversed(), looked };
    // What comes before would leave a gap.
    if (held.isCut) return;
    end = start - 1;
    length = nextLength(length, looked, found, Math.min(wanted, count));
  }
}

/** The newest messages of a stretch: so many, and 64 MiB. */
class HeldMessages {
  readonly messages: RawEvent[] = [];
  isCut = false;
  readonly #most: number;
  #bytes = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(message: RawEvent): void {
    this.messages.push(message);
    this.#bytes += message.data.length;
    while (this.messages.length > this.#most || this.#bytes > MOST_HELD_BYTES) {
      this.#bytes -= this.messages.shift()?.data.length ?? 0;
      this.isCut = true;
    }
  }
}

/** As many messages as should hold what is still wanted, at most four times as many as before. */
function nextLength(length: number, looked: number, found: number, wanted: number): number {
  const needed = found === 0 ? Infinity : Math.ceil(((wanted - found) * looked) / found);
  return Math.max(SHORTEST_STRETCH, Math.min(needed, 4 * length, LONGEST_STRETCH));
}

async function* readStretch(bus: Bus, start: number, end: number, ended: AbortSignal): AsyncGenerator<RawEvent[]> {
  const consumer = await bus.jetstream.consumers.get("EVENTS", { opt_start_seq: start });
  const messages = await consumer.consume({ max_messages: AHEAD });
  const close = (): void => messages.stop();
  ended.addEventListener("abort", close, { once: true });
  try {
    let batch: RawEvent[] = [];
    for await (const message of messages) {
      if (ended.aborted) break;
      if (message.seq <= end) batch.push(rawEventOf(message));
      const last = message.seq >= end;
      if (batch.length === BATCH || last) {
        yield batch;
        batch = [];
      }
      if (last) break;
    }
    if (batch.length > 0) yield batch;
  } finally {
    ended.removeEventListener("abort", close);
    await messages.close();
    await consumer.delete().catch(() => undefined);
  }
}

const filterOf = ({ app, type }: MessageSelection): string => `events.${app}.${type === "" ? ">" : type}`;

function selectorOf({ app, type }: MessageSelection): (subject: string) => boolean {
  const prefix = `events.${app}.`;
  return type === "" ? (subject) => subject.startsWith(prefix) : (subject) => subject === prefix + type;
}
