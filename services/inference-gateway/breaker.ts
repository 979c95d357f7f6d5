export interface BreakerOptions {
  /** Calls looked back on. */
  readonly window: number;
  /** Opens when at least so many of them failed … */
  readonly minFailures: number;
  /** … and at least this share of them. */
  readonly failureShare: number;
  /** How long it stays open the first time; doubles with every failed probe … */
  readonly openMs: number;
  /** … up to this. */
  readonly maxOpenMs: number;
  /** Probes in a row that must succeed to close it. */
  readonly probes: number;
}

export const DEFAULT_BREAKER: BreakerOptions = {
  window: 20,
  minFailures: 5,
  failureShare: 0.5,
  openMs: 1_000,
  maxOpenMs: 30_000,
  probes: 3,
};

export type BreakerState = "closed" | "open" | "half-open";

/**
 * A circuit breaker (M. Nygard, "Release It!", ch. 5): after too many failures a model version is not asked for a while, then
 * one call at a time tries whether it works again. Pure: time comes in with every call, in milliseconds.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  /** The last calls, true for a failure. */
  #recent: boolean[] = [];
  #state: BreakerState = "closed";
  #openUntil = 0;
  #openMs: number;
  #probing = false;
  #successes = 0;

  constructor(options: BreakerOptions = DEFAULT_BREAKER) {
    this.#options = options;
    this.#openMs = options.openMs;
  }

  state(now: number): BreakerState {
    if (this.#state === "open" && now >= this.#openUntil) {
      this.#state = "half-open";
      this.#probing = false;
      this.#successes = 0;
    }
    return this.#state;
  }

  /** Whether a call may go through. One that may must end in `success`, `failure` or `abandon`. */
  allow(now: number): boolean {
    const state = this.state(now);
    if (state === "closed") return true;
    if (state === "open" || this.#probing) return false;
    this.#probing = true;
    return true;
  }

  success(now: number): void {
    const state = this.state(now);
    if (state === "closed") this.#remember(false);
    if (state !== "half-open") return;
    this.#probing = false;
    this.#successes += 1;
    if (this.#successes >= this.#options.probes) this.#close();
  }

  failure(now: number): void {
    const state = this.state(now);
    if (state === "half-open") {
      this.#openMs = Math.min(this.#openMs * 2, this.#options.maxOpenMs);
      this.#open(now);
    } else if (state === "closed") {
      this.#remember(true);
      const failures = this.#recent.filter(Boolean).length;
      const { minFailures, failureShare } = this.#options;
      if (failures >= minFailures && failures >= failureShare * this.#recent.length) this.#open(now);
    }
  }

  /** The call ended without saying anything about the model: its caller left, or it never got there. */
  abandon(): void {
    this.#probing = false;
  }

  #remember(failed: boolean): void {
    // A healthy model pays nothing: only a window with a failure in it needs counting.
    if (!failed && this.#recent.length === 0) return;
    this.#recent.push(failed);
    if (this.#recent.length > this.#options.window) this.#recent.shift();
    if (!this.#recent.includes(true)) this.#recent = [];
  }

  #open(now: number): void {
    this.#state = "open";
    this.#openUntil = now + this.#openMs;
    this.#recent = [];
    this.#probing = false;
  }

  #close(): void {
    this.#state = "closed";
    this.#openMs = this.#options.openMs;
    this.#recent = [];
    this.#probing = false;
  }
}
