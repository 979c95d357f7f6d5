/**
 * Knows whether the entries that a watch has brought so far are together a state which the bucket once had.
 *
 * A bucket that keeps one value per key drops an entry as soon as the key has a newer one, also under the eyes of a watch that has not
 * come there yet. Such a watch sees a hole among the revisions: a value is missing, and the one that took its place comes later,
 * perhaps after entries that were written when the missing one was already there. So after a hole nothing follows from an entry until
 * everything that the bucket held when the hole was seen has come. Pure: revisions come in as calls.
 */
export class WatchCoherence {
  #last = 0;
  /** The revision up to which entries have to come; Infinity while nobody knows it. */
  #needed = 0;
  #holes = 0;

  /** Notes that the entry with this revision has been handled. */
  take(revision: number): void {
    if (revision !== this.#last + 1) {
      this.#holes += 1;
      this.#needed = Infinity;
    }
    this.#last = revision;
  }

  /** Holes seen so far; hand it to `close`. */
  get holes(): number {
    return this.#holes;
  }

  /** Whether a hole is open of which nobody knows how far it reaches. */
  get open(): boolean {
    return this.#needed === Infinity;
  }

  /** @param lastRevision the bucket's last revision, asked for after so many holes had been seen */
  close(holes: number, lastRevision: number): void {
    if (holes === this.#holes) this.#needed = lastRevision;
  }

  get coherent(): boolean {
    return this.#last >= this.#needed;
  }
}
