import type { Departure } from "@millrace/rpc";
import { type Clock, MillraceError } from "@millrace/runtime";
import type { Answer } from "./answer.ts";

export interface AnswerCacheOptions {
  readonly ttlMs: number;
  readonly maxEntries: number;
}

/** How an answer came about: the model ran for this question, for another that waited for it, or before. */
export type Origin = "run" | "joined" | "kept";

interface Kept {
  readonly answer: Answer;
  readonly until: number;
}

/** What became of a run: its answer, or what it failed with. */
type Flight = Promise<Answer | MillraceError>;

/** Failures that concern who asked, not the question. */
const CALLERS_OWN: ReadonlySet<string> = new Set(["deadline_exceeded", "cancelled", "resource_exhausted"]);

/**
 * A model's answers, kept for a while by version and exact inputs, and never more than so many. Questions that come while the model is
 * asked the same wait for that answer instead of asking it again.
 */
export class AnswerCache {
  readonly #options: AnswerCacheOptions;
  readonly #clock: Clock;
  /** Oldest first, and so by their end. */
  readonly #kept = new Map<string, Kept>();
  readonly #flights = new Map<string, Flight>();

  /** @param clock monotonic */
  constructor(options: AnswerCacheOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  get size(): number {
    return this.#kept.size;
  }

  /**
   * The kept answer, or the run's that is under way, or that of a run of its own.
   *
   * @param by milliseconds on the clock: how long another question's run is waited for
   * @throws what the run failed with; `deadline_exceeded` and `cancelled` only for the caller's own deadline and signal.
   */
  async get(
    key: string,
    run: () => Promise<Answer>,
    by: number,
    signal: Departure,
  ): Promise<{ readonly answer: Answer; readonly origin: Origin }> {
    for (;;) {
      const kept = this.#kept.get(key);
      if (kept !== undefined && this.#clock.now() < kept.until) return { answer: kept.answer, origin: "kept" };
      const flight = this.#flights.get(key);
      if (flight === undefined) return { answer: await this.#run(key, run), origin: "run" };
      const outcome = await this.#join(flight, by, signal);
      if (!(outcome instanceof MillraceError)) return { answer: outcome, origin: "joined" };
      if (!CALLERS_OWN.has(outcome.code)) throw outcome;
    }
  }

  async #run(key: string, run: () => Promise<Answer>): Promise<Answer> {
    const { promise: flight, resolve } = Promise.withResolvers<Answer | MillraceError>();
    this.#flights.set(key, flight);
    try {
      const answer = await run();
      this.#keep(key, answer);
      resolve(answer);
      return answer;
    } catch (error) {
      resolve(
        error instanceof MillraceError ? error : new MillraceError("internal", "the run failed", { cause: error }),
      );
      throw error;
    } finally {
      this.#flights.delete(key);
    }
  }

  #keep(key: string, answer: Answer): void {
    const { ttlMs, maxEntries } = this.#options;
    const now = this.#clock.now();
    // At the end again, so that the order stays that of age.
    this.#kept.delete(key);
    for (const [oldest, { until }] of this.#kept) {
      if (now < until && this.#kept.size < maxEntries) break;
      this.#kept.delete(oldest);
    }
    this.#kept.set(key, { answer, until: now + ttlMs });
  }

  async #join(flight: Flight, by: number, signal: Departure): Promise<Answer | MillraceError> {
    const over = Promise.withResolvers<never>();
    const late = (): void =>
      over.reject(new MillraceError("deadline_exceeded", "an equal question was still being answered"));
    const gone = (): void => over.reject(new MillraceError("cancelled", "the caller has gone"));
    const timer = setTimeout(late, Math.max(0, by - this.#clock.now()));
    if (signal.aborted) gone();
    signal.addEventListener("abort", gone, { once: true });
    try {
      return await Promise.race([flight, over.promise]);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", gone);
    }
  }
}

/** A key for inputs: the same only for the same bits. */
export function answerKey(version: string, features: Float64Array): string {
  return `${version} ${Buffer.from(features.buffer, features.byteOffset, features.byteLength).toString("latin1")}`;
}
