import type { Clock } from "@millrace/runtime";

/**
 * One timer for many deadlines: armed for the earliest, it calls back once that has come, and the owner arms it again. A
 * call that is answered in time costs no timer at all. On a thread that is late, what has arrived meanwhile is taken in first: an answer that
 * only nobody has read yet is no missed deadline.
 */
export class DeadlineTimer implements Disposable {
  readonly #clock: Clock;
  readonly #onDue: () => void;
  #timer: NodeJS.Timeout | undefined;
  #armedFor = Infinity;
  #disposed = false;

  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Makes sure that the callback runs at `at` or soon after. An earlier call back is possible, and harmless. */
  arm(at: number | undefined): void {
    if (at === undefined || at >= this.#armedFor) return;
    clearTimeout(this.#timer);
    this.#armedFor = at;
    // A timer may fire up to a millisecond early by the clock; the owner then arms it again.
    this.#timer = setTimeout(
      () => setImmediate(() => this.#fire()),
      Math.min(Math.max(at - this.#clock.now(), 0), 2 ** 31 - 1),
    );
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#armedFor = -Infinity;
    this.#disposed = true;
  }

  #fire(): void {
    if (this.#disposed) return;
    this.#armedFor = Infinity;
    this.#onDue();
  }
}
