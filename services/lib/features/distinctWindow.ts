import { type DistinctSketch, EXACT_VALUES, estimateOf, REGISTERS, raise, raiseAll } from "./distinctSketch.ts";

/** Places of the table: a power of two, and several times what it ever has to hold. */
const PLACES = 512;

/**
 * Merges the sketches of a window's tiles, to the same result as `DistinctSketch.merge`, in a fraction of the time: hashes are not kept in
 * order, but in a table with open addressing, and nothing is allocated.
 */
export class DistinctWindow {
  readonly #table = new Float64Array(PLACES).fill(-1);
  /** The places that are taken. */
  readonly #taken = new Uint16Array(EXACT_VALUES);
  #count = 0;
  readonly #registers = new Uint8Array(REGISTERS);
  #exact = true;

  /** How many distinct values the sketches have together. */
  estimate(
    sketches: readonly DistinctSketch[],
    first: number,
    end: number,
    counts: (index: number) => boolean,
  ): number {
    this.#clear();
    for (let index = first; index < end; index += 1) if (counts(index)) this.#merge(sketches[index] as DistinctSketch);
    return this.#exact ? this.#count : estimateOf(this.#registers);
  }

  #merge({ hashes, registers }: DistinctSketch): void {
    if (hashes !== undefined) {
      for (let index = 0; index < hashes.length; index += 1) this.#add(hashes[index] as number);
    } else {
      if (this.#exact) this.#toRegisters();
      raiseAll(this.#registers, registers as Uint8Array);
    }
  }

  #add(hash: number): void {
    if (!this.#exact) {
      raise(this.#registers, hash);
      return;
    }
    const table = this.#table;
    let place = hash & (PLACES - 1);
    while (table[place] !== -1) {
      if (table[place] === hash) return;
      place = (place + 1) & (PLACES - 1);
    }
    if (this.#count === EXACT_VALUES) {
      this.#toRegisters();
      raise(this.#registers, hash);
      return;
    }
    table[place] = hash;
    this.#taken[this.#count] = place;
    this.#count += 1;
  }

  #toRegisters(): void {
    this.#registers.fill(0);
    for (let index = 0; index < this.#count; index += 1) {
      raise(this.#registers, this.#table[this.#taken[index] as number] as number);
    }
    this.#exact = false;
  }

  #clear(): void {
    for (let index = 0; index < this.#count; index += 1) this.#table[this.#taken[index] as number] = -1;
    this.#count = 0;
    this.#exact = true;
  }
}
