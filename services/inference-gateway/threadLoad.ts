import type { Clock, MillraceError } from "@millrace/runtime";
import { overload } from "./refusal.ts";

export interface ThreadLoadOptions {
  /** Monotonic. */
  readonly clock: Clock;
  /** Milliseconds that the thread has been at work so far, and not waiting for events. */
  readonly busyMs: () => number;
}

/** What a question costs before anything is known: more than on any usual machine once the code is compiled. */
const FIRST_MS = 0.2;
/** So many questions are always taken: that an estimate is too high must not stop the calls by which it would be put right. */
const ALWAYS = 64;
/**
 * Of a call's time: what the questions in hand may take of the thread. They take their turns at every step, and what is read from the sockets
 * waited there for about as long before.
 */
const SHARE = 1 / 3;
const WINDOW_MS = 100;
const LONG_WINDOW_MS = 1_000;
const ENOUGH_ANSWERS = 32;
/** From this share of the time on the thread is taken to have no time left for anything else. */
const SATURATED = 0.9;
const NEWEST_SHARE = 0.4;

/**
 * Limits the questions in hand to what the service's own thread can answer in time, whatever they wait for besides. With more, calls would wait in
 * sockets, where no deadline is seen. The limit is no constant: it follows from a call's time and from what a question costs the thread,
 * measured as its working time over the questions answered. A window in which the thread had time to spare can only lower that figure, for
 * whatever else the thread did is in it, too; in one without, that is the speed that there is.
 */
export class ThreadLoad {
  readonly #options: ThreadLoadOptions;
  #inHand = 0;
  #msPerQuestion = FIRST_MS;
  #windowFrom: number;
  #busyFrom: number;
  #answered = 0;

  constructor(options: ThreadLoadOptions) {
    this.#options = options;
    this.#windowFrom = options.clock.now();
    this.#busyFrom = options.busyMs();
  }

  get inHand(): number {
    return this.#inHand;
  }

  get msPerQuestion(): number {
    return this.#msPerQuestion;
  }

  /** Work of the thread that the questions in hand still are, at most. */
  get workMs(): number {
    return this.#inHand * this.#msPerQuestion;
  }

  /** Whether so many more questions of a call that has so long would be too many. None are while nothing is in hand. */
  overloaded(questions: number, leftMs: number): boolean {
    const more = this.#inHand + questions;
    return this.#inHand > 0 && more > ALWAYS && more * this.#msPerQuestion > SHARE * leftMs;
  }

  /** Every question that begins has to end. */
  began(questions: number): void {
    this.#inHand += questions;
  }

  ended(questions: number): void {
    this.#inHand -= questions;
    this.#answered += questions;
    const now = this.#options.clock.now();
    const elapsedMs = now - this.#windowFrom;
    if (elapsedMs < WINDOW_MS || (this.#answered < ENOUGH_ANSWERS && elapsedMs < LONG_WINDOW_MS)) return;
    const busy = this.#options.busyMs();
    const busyMs = busy - this.#busyFrom;
    const ms = busyMs / this.#answered;
    if (ms < this.#msPerQuestion || busyMs > SATURATED * elapsedMs) {
      this.#msPerQuestion += (ms - this.#msPerQuestion) * NEWEST_SHARE;
    }
    this.#windowFrom = now;
    this.#busyFrom = busy;
    this.#answered = 0;
  }
}

/** The work of the thread that asks. */
export const threadBusyMs = (): number => performance.eventLoopUtilization().active;

/** What a call is told that comes when there are too many. */
export const threadOverload = ({ inHand, workMs }: ThreadLoad, leftMs: number): MillraceError =>
  overload(`${inHand} questions are in hand already, too many for the ${Math.round(leftMs)} ms left`, workMs);
