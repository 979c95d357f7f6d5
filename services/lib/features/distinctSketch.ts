/** Registers of a full sketch; a power of two. */
export const REGISTERS = 1_024;
/** Up to so many values are kept one by one: as hashes of 6 bytes they still take less room than the registers. */
export const EXACT_VALUES = 128;
const HASH_BYTES = 6;
/** Bits of a hash that give a register's rank; the others choose the register. */
const RANK_BITS = 32;

/**
 * Counts distinct values by their 48-bit hashes (`valueHash.ts`). Exact up to 128 values. Beyond that it is HyperLogLog (Flajolet et al.,
 * 2007) with 1,024 registers and the improved raw estimator (Ertl, New cardinality estimation algorithms for HyperLogLog sketches, 2017,
 * algorithm 6): standard error 1.04 / √1024 = 3.25 %, so in 95 of 100 cases it is off by less than 6.5 %.
 *
 * What a sketch holds depends on the set of values alone, not on their order, repetition, or how they were spread over sketches that
 * were merged.
 */
export class DistinctSketch {
  /** Ascending; undefined when there were too many. */
  #hashes: number[] | undefined = [];
  #registers: Uint8Array | undefined;

  /** The values one by one, while they are few. */
  get hashes(): readonly number[] | undefined {
    return this.#hashes;
  }

  /** What stands for the values when they are many. */
  get registers(): Uint8Array | undefined {
    return this.#registers;
  }

  /** Adds a value by its hash: a whole number below 2^48. */
  add(hash: number): void {
    const hashes = this.#hashes;
    if (hashes === undefined) {
      raise(this.#registers as Uint8Array, hash);
      return;
    }
    const index = lowerBound(hashes, hash);
    if (hashes[index] === hash) return;
    if (hashes.length === EXACT_VALUES) {
      raise(this.#toRegisters(), hash);
      return;
    }
    if (index === hashes.length) hashes.push(hash);
    else hashes.splice(index, 0, hash);
  }

  /** Adds all values of another sketch. */
  merge(other: DistinctSketch): void {
    if (other.#hashes !== undefined) {
      for (const hash of other.#hashes) this.add(hash);
      return;
    }
    raiseAll(this.#registers ?? this.#toRegisters(), other.#registers as Uint8Array);
  }

  /** The same values, in a sketch of its own. */
  clone(): DistinctSketch {
    const sketch = new DistinctSketch();
    sketch.#hashes = this.#hashes?.slice();
    sketch.#registers = this.#registers?.slice();
    return sketch;
  }

  /** How many distinct values were added: exact up to 128, an estimate with decimals beyond. */
  estimate(): number {
    if (this.#hashes !== undefined) return this.#hashes.length;
    return estimateOf(this.#registers as Uint8Array);
  }

  /** The hashes, ascending, of 6 bytes each, little-endian; or the registers of a byte each, told by their length. */
  encode(): Uint8Array {
    if (this.#hashes === undefined) return (this.#registers as Uint8Array).slice();
    const bytes = Buffer.allocUnsafe(this.#hashes.length * HASH_BYTES);
    let at = 0;
    for (const hash of this.#hashes) at = bytes.writeUIntLE(hash, at, HASH_BYTES);
    return bytes;
  }

  /** Undefined when the bytes are no sketch. */
  static decode(bytes: Uint8Array): DistinctSketch | undefined {
    const sketch = new DistinctSketch();
    if (bytes.length === REGISTERS) {
      if (bytes.some((rank) => rank > RANK_BITS + 1)) return undefined;
      sketch.#hashes = undefined;
      sketch.#registers = Uint8Array.from(bytes);
      return sketch;
    }
    if (bytes.length % HASH_BYTES !== 0 || bytes.length > EXACT_VALUES * HASH_BYTES) return undefined;
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const hashes: number[] = [];
    for (let at = 0; at < bytes.length; at += HASH_BYTES) {
      const hash = view.readUIntLE(at, HASH_BYTES);
      if (hashes.length > 0 && hash <= (hashes.at(-1) as number)) return undefined;
      hashes.push(hash);
    }
    sketch.#hashes = hashes;
    return sketch;
  }

  #toRegisters(): Uint8Array {
    const registers = new Uint8Array(REGISTERS);
    for (const hash of this.#hashes ?? []) raise(registers, hash);
    this.#hashes = undefined;
    this.#registers = registers;
    return registers;
  }
}

/** Raises registers to those of another sketch. */
export function raiseAll(registers: Uint8Array, others: Uint8Array): void {
  for (let index = 0; index < REGISTERS; index += 1) {
    const rank = others[index] as number;
    if (rank > (registers[index] as number)) registers[index] = rank;
  }
}

/** The lower bits choose the register; its rank is the most leading zeros, plus 1, that the upper 32 bits of a hash had. */
export function raise(registers: Uint8Array, hash: number): void {
  const index = hash & (REGISTERS - 1);
  const rank = Math.clz32(hash / 65_536) + 1;
  if (rank > (registers[index] as number)) registers[index] = rank;
}

function lowerBound(hashes: readonly number[], hash: number): number {
  let low = 0;
  let high = hashes.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((hashes[middle] as number) < hash) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Ertl's algorithm 6; more than 128, as that many there are. Only + - * / and square roots, so every machine gives the same bits. */
export function estimateOf(registers: Uint8Array): number {
  const counts = new Uint32Array(RANK_BITS + 2);
  for (const rank of registers) counts[rank] = (counts[rank] as number) + 1;
  let sum = REGISTERS * tau(1 - (counts[RANK_BITS + 1] as number) / REGISTERS);
  for (let rank = RANK_BITS; rank >= 1; rank -= 1) sum = 0.5 * (sum + (counts[rank] as number));
  sum += REGISTERS * sigma((counts[0] as number) / REGISTERS);
  return Math.max(EXACT_VALUES + 1, ((REGISTERS / (2 * Math.LN2)) * REGISTERS) / sum);
}

/** x + Σ x^(2^k) 2^(k-1), for the empty registers. */
function sigma(share: number): number {
  if (share === 1) return Infinity;
  let power = share;
  let factor = 1;
  let sum = share;
  for (let before = -1; before !== sum; ) {
    before = sum;
    power *= power;
    sum += power * factor;
    factor *= 2;
  }
  return sum;
}

/** (1 - x - Σ (1 - x^(2^-k))² 2^-k) / 3, for the registers that are full. */
function tau(share: number): number {
  if (share === 0 || share === 1) return 0;
  let root = share;
  let factor = 1;
  let sum = 1 - share;
  for (let before = -1; before !== sum; ) {
    before = sum;
    root = Math.sqrt(root);
    factor *= 0.5;
    sum -= (1 - root) ** 2 * factor;
  }
  return sum / 3;
}
