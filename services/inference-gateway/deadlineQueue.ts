/** Something that must be settled by `deadline`. Whoever settles it sets the mark and tells the queue. */
export interface Due {
  /** Milliseconds on the caller's clock. */
  readonly deadline: number;
  settled: boolean;
}

/** Settled entries are swept out once there are this many of them, and more of them than of the others. */
const SWEEP_AT = 64;

/**
 * Everything that waits, by deadline: a binary heap. Settled entries stay until they surface or outnumber the others, so
 * that settling costs nothing; memory is bounded by twice what waits. No clock of its own.
 */
export class DeadlineQueue<Entry extends Due> {
  #heap: Entry[] = [];
  #settled = 0;

  /** How many wait. */
  get size(): number {
    return this.#heap.length - this.#settled;
  }

  push(entry: Entry): void {
    const heap = this.#heap;
    heap.push(entry);
    let index = heap.length - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Entry;
      if (above.deadline <= entry.deadline) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = entry;
  }

  /** Marks an entry of this queue as settled. Does nothing for one that is. */
  settle(entry: Entry): void {
    if (entry.settled) return;
    entry.settled = true;
    this.#settled += 1;
    if (this.#settled > SWEEP_AT && this.#settled * 2 > this.#heap.length) this.#sweep();
  }

  /** The earliest deadline of those that wait. */
  next(): number | undefined {
    this.#dropSettled();
    return this.#heap[0]?.deadline;
  }

  /** Takes those whose deadline has come, earliest first, and marks them as settled. */
  due(now: number): Entry[] {
    const due: Entry[] = [];
    for (;;) {
      this.#dropSettled();
      const top = this.#heap[0];
      if (top === undefined || top.deadline > now) return due;
      this.#pop();
      top.settled = true;
      due.push(top);
    }
  }

  #dropSettled(): void {
    while (this.#heap[0]?.settled === true) {
      this.#pop();
      this.#settled -= 1;
    }
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last !== undefined && this.#heap.length > 0) {
      this.#heap[0] = last;
      this.#sink(0);
    }
  }

  #sink(start: number): void {
    const heap = this.#heap;
    const entry = heap[start] as Entry;
    let index = start;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      const right = heap[child + 1];
      if (right !== undefined && right.deadline < (heap[child] as Entry).deadline) child += 1;
      const below = heap[child] as Entry;
      if (below.deadline >= entry.deadline) break;
      heap[index] = below;
      index = child;
    }
    heap[index] = entry;
  }

  #sweep(): void {
    this.#heap = this.#heap.filter((entry) => !entry.settled);
    this.#settled = 0;
    for (let index = (this.#heap.length >> 1) - 1; index >= 0; index -= 1) this.#sink(index);
  }
}
