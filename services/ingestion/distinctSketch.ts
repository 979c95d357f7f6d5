/** 2^10 registers: one value more or less moves the estimate by a standard error of 1.04 / sqrt(1024) = 3.25 %. */
const INDEX_BITS = 10;
const REGISTERS = 1 << INDEX_BITS;

/** Bits of the hash that a register's value comes from, and the largest value. */
const RANK_BITS = 64 - INDEX_BITS;
const MAX_RANK = RANK_BITS + 1;

/** Odd numbers with well mixed bits: the primes of xxHash (https://github.com/Cyan4973/xxHash). */
const PRIME_1 = 0x9e3779b1;
const PRIME_2 = 0x85ebca77;
const PRIME_3 = 0xc2b2ae3d;

const double = new Float64Array(1);
const integer = new BigInt64Array(double.buffer);
const halves = new Uint32Array(double.buffer);

/**
 * About how many different values there were: HyperLogLog (Flajolet, Fusy, Gandouet, Meunier 2007), estimated after Ertl, "New
 * cardinality estimation algorithms for HyperLogLog sketches" (arXiv:1702.01284, algorithm 6), which needs no tables of biases and is nearly
 * exact for few values. The hash has 64 bits and no seed, so that the same values give the same registers in every process, whatever
 * their order and however they are spread over sketches that are merged.
 */
export class DistinctSketch {
  readonly #registers = new Uint8Array(REGISTERS);

  /** Adds a text. Answers its length in characters (code points), which the same pass over it finds. */
  addText(text: string): number {
    const { length } = text;
    let high = PRIME_3;
    let low = length;
    let characters = length;
    for (let index = 0; index < length; index += 1) {
      const code = text.charCodeAt(index);
      high = Math.imul(high ^ code, PRIME_1);
      low = Math.imul(low ^ code, PRIME_2);
      // The second half of a pair of surrogates.
      if ((code & 0xfc00) === 0xdc00) characters -= 1;
    }
    this.#add(high, low);
    return characters;
  }

  /** Adds a number; 0 and -0 are the same. */
  addNumber(value: number): void {
    double[0] = value + 0;
    this.#addHalves();
  }

  addInteger(value: bigint): void {
    integer[0] = value;
    this.#addHalves();
  }

  #addHalves(): void {
    const first = halves[0] as number;
    const second = halves[1] as number;
    this.#add(Math.imul(first ^ PRIME_3, PRIME_1) ^ second, Math.imul(second ^ PRIME_3, PRIME_2) ^ first);
  }

  /** Mixes two words of 32 bits into a hash of 64, and enters it. */
  #add(first: number, second: number): void {
    const high = mixed(first ^ Math.imul(second ^ (second >>> 15), PRIME_3));
    const low = mixed(second ^ Math.imul(first ^ (first >>> 13), PRIME_1));
    const index = high >>> (32 - INDEX_BITS);
    const rest = high << INDEX_BITS;
    const rank = rest === 0 ? 33 - INDEX_BITS + Math.clz32(low) : 1 + Math.clz32(rest);
    if (rank > (this.#registers[index] as number)) this.#registers[index] = rank;
  }

  /** Makes this the sketch of both sets of values together. */
  merge(other: DistinctSketch): void {
    for (let index = 0; index < REGISTERS; index += 1) this.#raise(index, other.#registers[index] as number);
  }

  /** As `merge`, from an encoded sketch. @throws RangeError when it is none */
  mergeEncoded(bytes: Uint8Array): void {
    if (bytes.length === REGISTERS) {
      for (let index = 0; index < REGISTERS; index += 1) this.#raise(index, bytes[index] as number);
      return;
    }
    if (bytes.length > REGISTERS || bytes.length % 2 !== 0) {
      throw new RangeError(`a sketch has ${REGISTERS} bytes or pairs of bytes, not ${bytes.length} bytes`);
    }
    for (let at = 0; at < bytes.length; at += 2) {
      const pair = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
      this.#raise(pair >>> 6, pair & 0x3f);
    }
  }

  #raise(index: number, rank: number): void {
    if (index >= REGISTERS || rank > MAX_RANK) throw new RangeError(`no sketch has ${rank} in register ${index}`);
    if (rank > (this.#registers[index] as number)) this.#registers[index] = rank;
  }

  /** All registers, or those that are not 0 as pairs of bytes (number times 64, plus value) when that is shorter. */
  encode(): Uint8Array {
    let filled = 0;
    for (const rank of this.#registers) if (rank !== 0) filled += 1;
    if (filled * 2 >= REGISTERS) return this.#registers.slice();
    const bytes = new Uint8Array(filled * 2);
    let at = 0;
    for (let index = 0; index < REGISTERS; index += 1) {
      const rank = this.#registers[index] as number;
      if (rank === 0) continue;
      bytes[at] = index >>> 2;
      bytes[at + 1] = ((index & 3) << 6) | rank;
      at += 2;
    }
    return bytes;
  }

  /** About how many different values were added; 0 for none. */
  estimate(): number {
    const counts = new Uint32Array(MAX_RANK + 1);
    for (const rank of this.#registers) (counts[rank] as number) += 1;
    let sum = REGISTERS * tau(1 - (counts[MAX_RANK] as number) / REGISTERS);
    for (let rank = RANK_BITS; rank >= 1; rank -= 1) sum = (sum + (counts[rank] as number)) / 2;
    sum += REGISTERS * sigma((counts[0] as number) / REGISTERS);
    return REGISTERS ** 2 / (2 * Math.LN2 * sum);
  }
}

/** The finalizer of MurmurHash3: every bit depends on every other (https://github.com/aappleby/smhasher). */
function mixed(word: number): number {
  let hash = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}

/** Ertl, formula 20: corrects for registers that are still 0. */
function sigma(share: number): number {
  if (share === 1) return Infinity;
  let power = share;
  let weight = 1;
  let sum = share;
  for (let before = Number.NaN; sum !== before; weight *= 2) {
    power *= power;
    before = sum;
    sum += power * weight;
  }
  return sum;
}

/** Ertl, formula 22: corrects for registers that can grow no more. */
function tau(share: number): number {
  if (share === 0 || share === 1) return 0;
  let root = share;
  let weight = 1;
  let sum = 1 - share;
  for (let before = Number.NaN; sum !== before; ) {
    root = Math.sqrt(root);
    before = sum;
    weight /= 2;
    sum -= (1 - root) ** 2 * weight;
  }
  return sum / 3;
}
