/** Something in a line. Whoever takes it out of turn sets a mark and tells the line. */
export interface InLine {
  readonly arrivedAt: number;
  /** Answered, given up, or expired. */
  settled: boolean;
  /** Handed over in a batch. */
  running: boolean;
}

/**
 * A line: first come, first served, but anybody may leave it from the middle. Those who left stay as gaps until they reach the
 * front or outnumber the others: leaving costs nothing, and memory is bounded by twice what waits.
 */
export class WaitingLine<Entry extends InLine> {
  #entries: Entry[] = [];
  #front = 0;
  #waiting = 0;

  /** How many wait. */
  get size(): number {
    return this.#waiting;
  }

  push(entry: Entry): void {
    this.#entries.push(entry);
    this.#waiting += 1;
  }

  /** The one that has waited longest. */
  first(): Entry | undefined {
    if (this.#waiting === 0) return undefined;
    while (hasLeft(this.#entries[this.#front] as Entry)) this.#front += 1;
    return this.#entries[this.#front];
  }

  /** The one that came last. */
  last(): Entry | undefined {
    if (this.#waiting === 0) return undefined;
    while (hasLeft(this.#entries.at(-1) as Entry)) this.#entries.pop();
    return this.#entries.at(-1);
  }

  /** Looks at those who wait, in their order, until told to stop by `false`. Those looked at may be marked, not `left`. */
  scan(look: (entry: Entry) => boolean): void {
    if (this.first() === undefined) return;
    for (let index = this.#front; index < this.#entries.length; index += 1) {
      const entry = this.#entries[index] as Entry;
      if (!hasLeft(entry) && !look(entry)) return;
    }
  }

  /** So many have been marked since; gives back the room of those that left long ago. */
  left(count: number): void {
    this.#waiting -= count;
    if (this.#waiting === 0) {
      this.#entries.length = 0;
      this.#front = 0;
    } else if (this.#entries.length > 2 * this.#waiting + 64) {
      this.#entries = this.#entries.slice(this.#front).filter((entry) => !hasLeft(entry));
      this.#front = 0;
    }
  }
}

const hasLeft = ({ settled, running }: InLine): boolean => settled || running;
