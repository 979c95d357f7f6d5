/** One row of a dataset: a prediction event, its features, and its truth as far as it is known. */
export interface DatasetRow {
  /** Value of the field by which truth is joined. */
  readonly key: string;
  readonly occurredAtMs: number;
  /** NaN is missing. */
  readonly features: Float64Array;
  /** NaN while it is not known. */
  label: number;
  /** An earlier row with the same key. */
  readonly earlier: DatasetRow | undefined;
}

interface KnownLabel {
  readonly label: number;
  readonly knownAtMs: number;
}

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
  /** Labels by key in the order in which they were known: for rows whose own event came after its label's. */
  readonly #labels = new Map<string, KnownLabel>();

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
    this.#labels.delete(key);
    this.#labels.set(key, { label, knownAtMs });
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
    if (this.#head > 10_000 && this.#head * 2 > this.#rows.length) {
      this.#rows = this.#rows.slice(this.#head);
      this.#head = 0;
    }
    for (const [key, known] of this.#labels) {
      if (known.knownAtMs + this.#waitMs >= knownAtMs) break;
      this.#labels.delete(key);
    }
  }

  /** Lets go of everything. */
  finish(): void {
    while (this.#head < this.#rows.length) this.#release(this.#rows[this.#head] as DatasetRow);
  }

  #release(row: DatasetRow): void {
    this.#head += 1;
    if (this.#byKey.get(row.key) === row) this.#byKey.delete(row.key);
    this.#emit(row);
  }
}
