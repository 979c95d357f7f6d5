const FIRST_DELAY_MS = 500;
/** A process that has run for so long has recovered: its next end counts as the first. */
const RECOVERED_MS = 60_000;
/** More ends than that, one soon after the other, are not an accident: half a minute of trying, delays and starts together. */
const MAX_RESTARTS = 5;

/** How long to wait before a process that ended is started again: twice as long each time, and not for ever. */
export class RestartPolicy {
  #restarts = 0;

  /**
   * After an end.
   *
   * @param ranMs how long the process had run
   * @returns milliseconds to wait; undefined: give up
   */
  delayMs(ranMs: number): number | undefined {
    if (ranMs >= RECOVERED_MS) this.#restarts = 0;
    if (this.#restarts >= MAX_RESTARTS) return undefined;
    this.#restarts += 1;
    return FIRST_DELAY_MS * 2 ** (this.#restarts - 1);
  }
}
