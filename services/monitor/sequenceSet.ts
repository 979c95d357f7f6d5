/** Gaps beyond so many are forgotten, oldest first: messages that the stream dropped never come. */
const MAX_RANGES = 1_000;

/**
 * Which messages of a stream have been counted: ranges of sequence numbers. After a crash what was in hand comes again, after
 * newer messages, so one high-water mark would not do.
 */
export class SequenceSet {
  /** Ascending, disjoint, not adjacent: [from, to] inclusive. */
  readonly #ranges: [number, number][];

  constructor(ranges: readonly (readonly [number, number])[] = []) {
    this.#ranges = ranges.map(([from, to]) => [from, to]);
  }

  get ranges(): readonly (readonly [number, number])[] {
    return this.#ranges;
  }

  has(sequence: number): boolean {
    return this.#ranges.some(([from, to]) => from <= sequence && sequence <= to);
  }

  add(sequence: number): void {
    if (this.has(sequence)) return;
    let index = this.#ranges.findLastIndex(([, to]) => to < sequence) + 1;
    const before = this.#ranges[index - 1];
    const after = this.#ranges[index];
    if (before?.[1] === sequence - 1) {
      before[1] = sequence;
      index -= 1;
      if (after?.[0] === sequence + 1) {
        before[1] = after[1];
        this.#ranges.splice(index + 1, 1);
      }
    } else if (after?.[0] === sequence + 1) after[0] = sequence;
    else this.#ranges.splice(index, 0, [sequence, sequence]);
    if (this.#ranges.length > MAX_RANGES) {
      const [first, second] = this.#ranges as [[number, number], [number, number]];
      this.#ranges.splice(0, 2, [first[0], second[1]]);
    }
  }
}
