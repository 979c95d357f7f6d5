/** At least so many are remembered, and at most twice as many: some 100 bytes each. */
const REMEMBERED = 100_000;

/** The newest ids. Kept in memory only: the broker itself knows most of what comes again. */
export class RecentIds {
  readonly #remembered: number;
  #older = new Set<string>();
  #newer = new Set<string>();

  constructor(remembered = REMEMBERED) {
    this.#remembered = remembered;
  }

  /** Whether it is new. */
  add(id: string): boolean {
    if (this.#newer.has(id) || this.#older.has(id)) return false;
    if (this.#newer.size === this.#remembered) {
      this.#older = this.#newer;
      this.#newer = new Set();
    }
    this.#newer.add(id);
    return true;
  }
}
