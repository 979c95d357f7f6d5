import type { Clock, MillraceError } from "@millrace/runtime";
import { overload, Refusals } from "./refusal.ts";

export interface ThreadLoadOptions {
  /** Monotonic. */
  readonly clock: Clock;
  /** Milliseconds that the thread has been at work so far, and not waiting for events. */
  readonly busyMs: () => number;
}

/** What a question costs before anything is known: more than on any usual machine once the code is compiled. */
const FIRST_MS = 0.2;
/** So many questions are always taken: that an estimate is too high must not stop the calls by which it would be put right. */
const ALWAYS = 128;
/**
 * Of a call's time: what the questions in hand may take of the thread. They take their turns at every step, and what is read from the sockets
 * waited there for about as long before.
 */
const SHARE = 1 / 4;
/** Of work, enough for the thread to have no pause. */
const ROOM_MS = 25;
/** From this share of the time on the thread is taken to have no time left for anything else. */
const SATURATED = 0.9;
/** How often it is looked whether it has. */
const LOOK_MS = 5;
/** What a question costs is measured over this time, or until enough have been answered. */
const WINDOW_MS = 100;
const LONG_WINDOW_MS = 1_000;
const ENOUGH_ANSWERS = 32;
/** Fewer tell nothing: the thread was busy with other things. */
const LEAST_ANSWERS = 8;
const NEWEST_SHARE = 0.4;
/** A window counts as at most so many times what was expected. */
const MOST_SURPRISE = 4;

/**
 * Limits the questions in hand to what the service's own thread can answer in time. With more, calls would wait in sockets, where no deadline is
 * seen. The limit is no constant: it follows from a call's time and from what a question costs the thread, measured as its working time over
 * the questions answered. A window in which the thread had time to spare can only lower that figure, for whatever else the thread did is in it, too;
 * in one without, that is the speed that there is. Questions that were in hand while the thread had nothing to do wait for
 * something else, such as a model, and do not count.
 */
export class ThreadLoad {
  readonly #options: ThreadLoadOptions;
  #inHand = 0;
  /** Of them, those that wait for something else than the thread. */
  #parked = 0;
  #msPerQuestion = FIRST_MS;
  #answered = 0;
  readonly #refusals = new Refusals();
  #window: Moment;
  #look: Moment;

  constructor(options: ThreadLoadOptions) {
    this.#options = options;
    this.#window = { at: options.clock.now(), busyMs: options.busyMs() };
    this.#look = this.#window;
  }

  get inHand(): number {
    return this.#inHand;
  }

  get msPerQuestion(): number {
    return this.#msPerQuestion;
  }

  /** Work that waits for the thread. */
  get workMs(): number {
    return (this.#inHand - this.#parked) * this.#msPerQuestion;
  }

  /** Whether those who can wait should be taken in now: a stream's messages are slowed down before calls are refused. */
  get hasRoom(): boolean {
    this.#lookForPause();
    return this.workMs < ROOM_MS;
  }

  /** Whether so many more questions of a call that has so long would be too many. None are while nothing is in hand. */
  overloaded(questions: number, leftMs: number): boolean {
    if (this.#inHand === 0) return false;
    this.#lookForPause();
    const more = this.#inHand - this.#parked + questions;
    return more > ALWAYS && more * this.#msPerQuestion > SHARE * leftMs;
  }

  /** What a call is told that comes when there are too many. */
  refusal(): MillraceError {
    const refuse = () => overload(`${this.#inHand} questions are in hand already`, this.workMs);
    return this.#refusals.get(this.#options.clock.now(), refuse);
  }

  /** Every question that begins has to end. */
  began(questions: number): void {
    this.#inHand += questions;
  }

  ended(questions: number): void {
    this.#inHand -= questions;
    // Those that have waited longest end first.
    this.#parked = Math.max(0, this.#parked - questions);
    this.#answered += questions;
    const { clock, busyMs } = this.#options;
    const at = clock.now();
    const elapsedMs = at - this.#window.at;
    if (elapsedMs < WINDOW_MS || (this.#answered < ENOUGH_ANSWERS && elapsedMs < LONG_WINDOW_MS)) return;
    this.#learn({ at, busyMs: busyMs() });
  }

  #lookForPause(): void {
    const { clock, busyMs } = this.#options;
    const at = clock.now();
    if (at - this.#look.at < LOOK_MS) return;
    const look = { at, busyMs: busyMs() };
    if (!saturated(this.#look, look)) this.#parked = this.#inHand;
    this.#look = look;
  }

  #learn(now: Moment): void {
    const ms = (now.busyMs - this.#window.busyMs) / this.#answered;
    if (ms < this.#msPerQuestion || (this.#answered >= LEAST_ANSWERS && saturated(this.#window, now))) {
      const most = MOST_SURPRISE * this.#msPerQuestion;
      this.#msPerQuestion += (Math.min(ms, most) - this.#msPerQuestion) * NEWEST_SHARE;
    }
    this.#window = now;
    this.#answered = 0;
  }
}

interface Moment {
  readonly at: number;
  /** Of the thread, so far. */
  readonly busyMs: number;
}

const saturated = (from: Moment, to: Moment): boolean => to.busyMs - from.busyMs > SATURATED * (to.at - from.at);

/** The work of the thread that asks. */
export const threadBusyMs = (): number => performance.eventLoopUtilization().active;
