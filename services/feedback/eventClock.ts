const DAY_MS = 86_400_000;

/** So many messages in a row have to agree before the clock believes in a jump. */
const MESSAGES_FOR_A_JUMP = 20;

/** An app's event time as far as it is believed. Kept in the store between batches. */
export interface ClockState {
  /** Milliseconds; undefined before the first message. */
  readonly nowMs: number | undefined;
  /** Messages in a row that were all far ahead of it. */
  readonly ahead: number;
}

/** What one message says about the time. */
export interface TimeEvidence {
  /** What the whole stream had come to when it arrived: `known_at`, or the features' watermark. */
  readonly knownAtMs: number;
  /** Its own event time. */
  readonly occurredAtMs: number;
}

/**
 * An app's event time. It is the latest that messages tell, except that it takes no leap on the word of one: a single event dated years
 * ahead, which lifts the `known_at` of everything after it, would close every prediction's label window. A leap is further than a day, the
 * label's wait, and the time that has passed on the wall since the clock last moved, which is all that a live stream can leap. It is
 * believed once 20 messages in a row say the same, as after a gap in a replay.
 */
export class EventClock {
  /** How far ahead of the clock a time may be. */
  readonly maxStepMs: number;
  #nowMs: number | undefined;
  #ahead: number;

  /** @param elapsedMs wall clock since it last moved */
  constructor({ nowMs, ahead }: ClockState, waitMs: number, elapsedMs: number) {
    this.#nowMs = nowMs;
    this.#ahead = ahead;
    this.maxStepMs = Math.max(DAY_MS, waitMs) + Math.max(0, elapsedMs);
  }

  get state(): ClockState {
    return { nowMs: this.#nowMs, ahead: this.#ahead };
  }

  observe({ knownAtMs, occurredAtMs }: TimeEvidence): void {
    const earlierMs = Math.min(knownAtMs, occurredAtMs);
    if (this.#nowMs === undefined) this.#nowMs = earlierMs;
    else if (!this.isAhead(knownAtMs)) this.#move(knownAtMs);
    // Of its own time or the stream's, the one that is not far ahead is right.
    else if (!this.isAhead(occurredAtMs)) this.#move(occurredAtMs);
    else {
      this.#ahead += 1;
      if (this.#ahead >= MESSAGES_FOR_A_JUMP) this.#move(earlierMs);
    }
  }

  /** Whether a time is further ahead than the clock may step. */
  isAhead(timeMs: number): boolean {
    return this.#nowMs !== undefined && timeMs > this.#nowMs + this.maxStepMs;
  }

  /** When a message became known: what the stream said, unless the stream's own clock had leapt. */
  knownAt({ knownAtMs, occurredAtMs }: TimeEvidence): number {
    return this.isAhead(knownAtMs) ? Math.max(occurredAtMs, this.#nowMs ?? occurredAtMs) : knownAtMs;
  }

  #move(toMs: number): void {
    this.#nowMs = Math.max(this.#nowMs ?? toMs, toMs);
    this.#ahead = 0;
  }
}
