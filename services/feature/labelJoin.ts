/** One row of a dataset: a prediction event, its features, and its truth as far as it is known. */
export interface DatasetRow {
  /** Value of the field by which truth is joined. */
  readonly key: string;
  readonly occurredAtMs: number;
  /** NaN is missing. */
  readonly features: Float64Array;
  /** NaN while it is not known. */
  label: number;
  /** An earlier row with the same key that waits, too. */
  earlier: DatasetRow | undefined;
}

interface KnownLabel {
  readonly key: string;
  readonly label: number;
  readonly knownAtMs: number;
}

const COMPACT_AT = 10_000;

/**
 * Joins rows with the truth that later events tell. A row waits `waitMs` of event time, then leaves in the order in which it came: so
 * memory holds one wait's worth of rows, however long history is. Of several labels the one known last counts.
 */
export class LabelJoin {
  readonly #waitMs: number;
  readonly #emit: (row: DatasetRow) => void;
  #rows: DatasetRow[] = [];
  #head = 0;
  readonly #byKey = new Map<string, DatasetRow>();
  /** For rows whose own event came after its label's. */
  readonly #labels = new Map<string, KnownLabel>();
  /** The same in the order in which they were known. A queue of its own: a Map's front gets slower with every deletion there. */
  #labelQueue: KnownLabel[] = [];
  #labelHead = 0;

  constructor(waitMs: number, emit: (row: DatasetRow) => void) {
    this.#waitMs = waitMs;
    this.#emit = emit;
  }

  addRow(key: string, occurredAtMs: number, features: Float64Array): void {
    const early = this.#labels.get(key);
    const label = early !== undefined && early.knownAtMs <= occurredAtMs + this.#waitMs ? early.label : Number.NaN;
    const row: DatasetRow = { key, occurredAtMs, features, label, earlier: this.#byKey.get(key) };
    this.#rows.push(row);
    this.#byKey.set(key, row);
  }

  addLabel(key: string, label: number, knownAtMs: number): void {
    const known: KnownLabel = { key, label, knownAtMs };
    this.#labels.set(key, known);
    this.#labelQueue.push(known);
    for (let row = this.#byKey.get(key); row !== undefined; row = row.earlier) {
      if (knownAtMs <= row.occurredAtMs + this.#waitMs) row.label = label;
    }
  }

  /** Lets go of the rows for which no truth can come any more: nothing after this is known before `knownAtMs`. */
  advance(knownAtMs: number): void {
    while (this.#head < this.#rows.length) {
      const row = this.#rows[this.#head] as DatasetRow;
      if (row.occurredAtMs + this.#waitMs >= knownAtMs) break;
      this.#release(row);
    }
    while (this.#labelHead < this.#labelQueue.length) {
      const known = this.#labelQueue[this.#labelHead] as KnownLabel;
      if (known.knownAtMs + this.#waitMs >= knownAtMs) break;
      if (this.#labels.get(known.key) === known) this.#labels.delete(known.key);
      this.#labelHead += 1;
    }
    this.#compact();
  }

  /** Lets go of everything. */
  finish(): void {
    while (this.#head < this.#rows.length) this.#release(this.#rows[this.#head] as DatasetRow);
  }

  /** Cuts off what has been taken from the queues' fronts, when it is most of them. */
  #compact(): void {
    if (this.#head > COMPACT_AT && this.#head * 2 > this.#rows.length) {
      this.#rows = this.#rows.slice(this.#head);
      this.#head = 0;
    }
    if (this.#labelHead > COMPACT_AT && this.#labelHead * 2 > this.#labelQueue.length) {
      this.#labelQueue = this.#labelQueue.slice(this.#labelHead);
      this.#labelHead = 0;
    }
  }

  #release(row: DatasetRow): void {
    this.#head += 1;
    if (this.#byKey.get(row.key) === row) this.#byKey.delete(row.key);
    // What was before it has left already, and must not be kept by it.
    row.earlier = undefined;
    this.#emit(row);
  }
}
