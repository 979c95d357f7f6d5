/** Enough for the batches of many minutes; at 8 bytes each the checkpoint does not notice. */
const DEFAULT_CAPACITY = 20_000;

/**
 * Knows a batch that was applied before, also when the broker has long forgotten its id. A batch is named by the log_sequence of its
 * first event, which no other batch has. Batches older than any that is remembered are taken for known: ingestion publishes what was
 * left behind before anything new.
 */
export class RecentBatches {
  readonly #capacity: number;
  readonly #remembered: Set<bigint>;
  #forgotten: bigint;

  constructor(remembered: Iterable<bigint> = [], capacity = DEFAULT_CAPACITY) {
    this.#capacity = capacity;
    this.#remembered = new Set(remembered);
    // Whoever hands in a full memory has forgotten what came before it.
    this.#forgotten = this.#remembered.size >= capacity ? minimum(this.#remembered) - 1n : -1n;
  }

  /** Remembers a batch. False when it is known already. */
  add(firstLogSequence: bigint): boolean {
    if (firstLogSequence <= this.#forgotten || this.#remembered.has(firstLogSequence)) return false;
    this.#remembered.add(firstLogSequence);
    if (this.#remembered.size > this.#capacity) {
      const [oldest] = this.#remembered;
      this.#remembered.delete(oldest as bigint);
      if ((oldest as bigint) > this.#forgotten) this.#forgotten = oldest as bigint;
    }
    return true;
  }

  /** Oldest first. */
  get all(): readonly bigint[] {
    return [...this.#remembered];
  }
}

function minimum(values: Iterable<bigint>): bigint {
  let lowest: bigint | undefined;
  for (const value of values) if (lowest === undefined || value < lowest) lowest = value;
  return lowest ?? 0n;
}
