/** One row of a dataset: a prediction event, its features, and its truth as far as it is known. */
export interface DatasetRow {
  /** Value of the field by which truth is joined. */
  readonly key: string;
  readonly occurredAtMs: number;
  /** NaN is missing. */
  readonly features: Float64Array;
  /** Of the request's fields that evaluations are told by, the texts, in the dataset's order; undefined is missing. */
  readonly texts?: readonly (string | undefined)[];
  /** NaN while it is not known. */
  label: number;
  /** When the label became known; NaN while it is not. */
  labelKnownAtMs: number;
  /** An earlier row with the same key that waits, too. */
  earlier: DatasetRow | undefined;
}

/** What happened to labels and rows on the way, as far as it can be seen within the app's wait. */
export interface JoinCounts {
  labelEvents: number;
  /** Label events after another one of their key, with the same value and with another. */
  duplicates: number;
  conflicts: number;
  /** First labels of a key that fell due within the range, and those that no row took. */
  due: number;
  unmatched: number;
  /** Rows whose key a waiting row had, and those that also have its time. */
  repeatedKeys: number;
  repeatedRows: number;
}

export interface LabelJoinOptions {
  readonly waitMs: number;
  /** How long before its row a label may have become known; at most, and by default, `waitMs`. */
  readonly earlyMs?: number;
  /** Labels known in [dueFromMs, dueBeforeMs) belong to rows of the dataset, unless they came too late. */
  readonly dueFromMs: number;
  readonly dueBeforeMs: number;
  readonly emit: (row: DatasetRow) => void;
}

interface KnownLabel {
  readonly key: string;
  readonly label: number;
  readonly knownAtMs: number;
  /** The first label of the key, when this is another one. */
  readonly first: KnownLabel | undefined;
  /** Of a key's first label: whether a row took it or one that came after it. */
  taken: boolean;
}

const COMPACT_AT = 10_000;

/**
 * Joins rows with the truth that later events tell. A row waits `waitMs` of event time, then leaves in the order in which it came: so
 * memory holds one wait's worth of rows, however long history is. Of several labels the one known last counts.
 */
export class LabelJoin {
  readonly counts: JoinCounts = {
    labelEvents: 0,
    duplicates: 0,
    conflicts: 0,
    due: 0,
    unmatched: 0,
    repeatedKeys: 0,
    repeatedRows: 0,
  };
  readonly #options: LabelJoinOptions;
  #rows: DatasetRow[] = [];
  #head = 0;
  readonly #byKey = new Map<string, DatasetRow>();
  /** For rows whose own event came after its label's, and to tell a key's second label. */
  readonly #labels = new Map<string, KnownLabel>();
  /** The same in the order in which they were known. A queue of its own: a Map's front gets slower with every deletion there. */
  #labelQueue: KnownLabel[] = [];
  #labelHead = 0;

  constructor(options: LabelJoinOptions) {
    this.#options = options;
  }

  addRow(key: string, occurredAtMs: number, features: Float64Array, texts?: readonly (string | undefined)[]): void {
    const known = this.#labels.get(key);
    const { waitMs, earlyMs = waitMs } = this.#options;
    const inTime =
      known !== undefined && known.knownAtMs >= occurredAtMs - earlyMs && known.knownAtMs <= occurredAtMs + waitMs;
    const early = inTime ? known : undefined;
    if (early !== undefined) take(early);
    const earlier = this.#byKey.get(key);
    if (earlier !== undefined) {
      this.counts.repeatedKeys += 1;
      if (earlier.occurredAtMs === occurredAtMs) this.counts.repeatedRows += 1;
    }
    const { label, knownAtMs: labelKnownAtMs } = early ?? UNKNOWN;
    const row: DatasetRow = { key, occurredAtMs, features, label, labelKnownAtMs, earlier, ...(texts && { texts }) };
    this.#rows.push(row);
    this.#byKey.set(key, row);
  }

  addLabel(key: string, label: number, knownAtMs: number): void {
    const before = this.#labels.get(key);
    const known: KnownLabel = { key, label, knownAtMs, first: before?.first ?? before, taken: false };
    this.#count(known, before);
    this.#labels.set(key, known);
    this.#labelQueue.push(known);
    for (let row = this.#byKey.get(key); row !== undefined; row = row.earlier) {
      if (knownAtMs > row.occurredAtMs + this.#options.waitMs) continue;
      row.label = label;
      row.labelKnownAtMs = knownAtMs;
      take(known);
    }
  }

  /** Lets go of the rows for which no truth can come any more: nothing after this is known before `knownAtMs`. */
  advance(knownAtMs: number): void {
    const { waitMs } = this.#options;
    while (this.#head < this.#rows.length) {
      const row = this.#rows[this.#head] as DatasetRow;
      if (row.occurredAtMs + waitMs >= knownAtMs) break;
      this.#release(row);
    }
    while (this.#labelHead < this.#labelQueue.length) {
      const known = this.#labelQueue[this.#labelHead] as KnownLabel;
      if (known.knownAtMs + waitMs >= knownAtMs) break;
      this.#forget(known);
    }
    this.#compact();
  }

  /** Lets go of everything. */
  finish(): void {
    while (this.#head < this.#rows.length) this.#release(this.#rows[this.#head] as DatasetRow);
    while (this.#labelHead < this.#labelQueue.length) this.#forget(this.#labelQueue[this.#labelHead] as KnownLabel);
  }

  #count({ label, knownAtMs }: KnownLabel, before: KnownLabel | undefined): void {
    const { dueFromMs, dueBeforeMs } = this.#options;
    this.counts.labelEvents += 1;
    if (before === undefined) {
      if (knownAtMs >= dueFromMs && knownAtMs < dueBeforeMs) this.counts.due += 1;
    } else if (before.label === label) this.counts.duplicates += 1;
    else this.counts.conflicts += 1;
  }

  #forget(known: KnownLabel): void {
    const { dueFromMs, dueBeforeMs } = this.#options;
    this.#labelHead += 1;
    if (this.#labels.get(known.key) === known) this.#labels.delete(known.key);
    const due = known.knownAtMs >= dueFromMs && known.knownAtMs < dueBeforeMs;
    if (known.first === undefined && due && !known.taken) this.counts.unmatched += 1;
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
    this.#options.emit(row);
  }
}

const UNKNOWN = { label: Number.NaN, knownAtMs: Number.NaN } as const;

function take(known: KnownLabel): void {
  (known.first ?? known).taken = true;
}
