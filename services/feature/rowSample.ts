/** Rows that are kept at most, and values, so that wide datasets take no more memory than 32 MiB. */
const MAX_ROWS = 65_536;
const MAX_VALUES = 4_194_304;
const FIRST_ROWS = 1_024;

/**
 * A sample of a stream of rows in bounded memory: every row as long as they fit, then those whose number hashes below a limit, which is
 * halved whenever the sample is full (adaptive sampling; Flajolet, 1990). The same rows give the same sample, and whether a row is
 * in it does not depend on what it holds, so quantiles of the sample are unbiased.
 */
export class RowSample {
  readonly #width: number;
  readonly #maxRows: number;
  #numbers: Uint32Array<ArrayBuffer>;
  #columns: Float64Array<ArrayBuffer>[];
  /** Rows with a hash below this are kept. */
  #limit = 2 ** 32;
  #rows = 0;
  #seen = 0;

  /** @param width values in a row */
  constructor(width: number, maxRows: number = MAX_ROWS) {
    this.#width = width;
    this.#maxRows = Math.max(1, Math.min(maxRows, Math.floor(MAX_VALUES / Math.max(1, width))));
    const first = Math.min(FIRST_ROWS, this.#maxRows);
    this.#numbers = new Uint32Array(first);
    this.#columns = Array.from({ length: width }, () => new Float64Array(first));
  }

  /** Rows in the sample. */
  get rows(): number {
    return this.#rows;
  }

  /** Whether the next row is to be in the sample; if so, it is the row that `set` is about. */
  next(): boolean {
    const number = this.#seen;
    this.#seen += 1;
    const hash = hashOf(number);
    if (hash >= this.#limit) return false;
    while (this.#rows === this.#maxRows) {
      this.#thin();
      if (hash >= this.#limit) return false;
    }
    if (this.#rows === this.#numbers.length) this.#grow();
    this.#numbers[this.#rows] = number;
    this.#rows += 1;
    return true;
  }

  /** Sets a value of the row that `next` has taken. */
  set(column: number, value: number): void {
    (this.#columns[column] as Float64Array)[this.#rows - 1] = value;
  }

  /** The sample's values of one column, rows in their order. */
  column(index: number): Float64Array<ArrayBuffer> {
    return (this.#columns[index] as Float64Array<ArrayBuffer>).subarray(0, this.#rows);
  }

  /** Keeps about every second row. */
  #thin(): void {
    this.#limit /= 2;
    let kept = 0;
    for (let row = 0; row < this.#rows; row += 1) {
      const number = this.#numbers[row] as number;
      if (hashOf(number) >= this.#limit) continue;
      this.#numbers[kept] = number;
      for (const column of this.#columns) column[kept] = column[row] as number;
      kept += 1;
    }
    this.#rows = kept;
  }

  #grow(): void {
    const length = Math.min(this.#maxRows, this.#numbers.length * 2);
    const numbers = new Uint32Array(length);
    numbers.set(this.#numbers);
    this.#numbers = numbers;
    for (let index = 0; index < this.#width; index += 1) {
      const column = new Float64Array(length);
      column.set(this.#columns[index] as Float64Array);
      this.#columns[index] = column;
    }
  }
}

/** Spreads consecutive numbers over 32 bits (the finaliser of MurmurHash3; Appleby, 2011). */
function hashOf(number: number): number {
  let hash = number | 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
