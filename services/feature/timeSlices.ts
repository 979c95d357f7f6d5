const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** Lengths that people think in: an hour, a quarter of a day, a day, a week, four weeks, a year of such weeks. */
export const CALENDAR_MS: readonly number[] = [HOUR_MS, 6 * HOUR_MS, DAY_MS, 7 * DAY_MS, 28 * DAY_MS, 364 * DAY_MS];

export interface TimeSlice {
  readonly fromMs: number;
  readonly counts: Float64Array;
}

/**
 * Counts over event time in bounded memory: slices of equal length, which becomes the next of `lengths` whenever there are too many of them
 * (each length is a multiple of the one before; after the last it doubles).
 */
export class TimeSlices {
  readonly #lengths: readonly number[];
  readonly #maxSlices: number;
  readonly #width: number;
  #step = 0;
  #slices = new Map<number, Float64Array>();
  #lastNumber = Number.NaN;
  #last: Float64Array = new Float64Array(0);

  /** @param width counts in a slice */
  constructor(lengths: readonly number[], maxSlices: number, width: number) {
    this.#lengths = lengths;
    this.#maxSlices = maxSlices;
    this.#width = width;
  }

  /** Length of the slices, in milliseconds. */
  get lengthMs(): number {
    const last = this.#lengths.length - 1;
    const given = this.#lengths[Math.min(this.#step, last)] as number;
    return given * 2 ** Math.max(0, this.#step - last);
  }

  /** The counts of the slice that a time is in; valid until the next call. */
  at(timeMs: number): Float64Array {
    const number = Math.floor(timeMs / this.lengthMs);
    if (number === this.#lastNumber) return this.#last;
    let counts = this.#slices.get(number);
    if (counts === undefined) {
      if (this.#slices.size === this.#maxSlices) {
        this.#coarsen();
        return this.at(timeMs);
      }
      counts = new Float64Array(this.#width);
      this.#slices.set(number, counts);
    }
    this.#lastNumber = number;
    this.#last = counts;
    return counts;
  }

  /** In order of time. */
  all(): TimeSlice[] {
    const { lengthMs } = this;
    return [...this.#slices]
      .sort(([left], [right]) => left - right)
      .map(([number, counts]) => ({ fromMs: number * lengthMs, counts }));
  }

  #coarsen(): void {
    const shorter = this.all();
    this.#step += 1;
    this.#slices = new Map();
    this.#lastNumber = Number.NaN;
    for (const { fromMs, counts } of shorter) {
      const into = this.at(fromMs);
      for (let index = 0; index < counts.length; index += 1) {
        into[index] = (into[index] as number) + (counts[index] as number);
      }
    }
  }
}
